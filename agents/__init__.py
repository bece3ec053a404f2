"""Read-only tools for agents over the Model Context Protocol (`manage.py mcp`, docs/agents.md)."""
