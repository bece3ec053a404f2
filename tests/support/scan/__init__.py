"""Scanner data for tests: markets, rows as collectors send them, and a collector shard in Redis."""
