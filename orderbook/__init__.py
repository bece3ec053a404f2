"""Store of order books, quotes and trades in PostgreSQL."""
