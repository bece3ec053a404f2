"""Depth as the exchanges speak it, one file each: deltas, whole books, update ids, REST snapshots."""
