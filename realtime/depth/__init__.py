"""Depth: ladders of the books that are followed, from the collectors to the pages."""
