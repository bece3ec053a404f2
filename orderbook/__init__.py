"""What the books held, and what was quoted and traded, in PostgreSQL."""
