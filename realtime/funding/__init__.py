"""Funding of all swaps, as it is now: from each collector shard through Redis to the page."""
