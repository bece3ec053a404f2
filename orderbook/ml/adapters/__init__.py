"""Where market data is read from: PostgreSQL or the lake, behind one interface."""
