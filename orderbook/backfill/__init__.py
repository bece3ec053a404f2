"""From the lake to the store: what was recorded before the store was written to, and whether both agree."""
