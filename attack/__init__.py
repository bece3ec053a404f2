"""`make attack`: the smallest ways in of a stranger, tried against a desk of its own, on loopback only.

It asks public doors: HTTP, sockets, `manage.py`, signals. A line for each, `held`
or `BROKEN` with the reason.
"""
