"""The tools, a module a subject; each method of their classes is one."""
