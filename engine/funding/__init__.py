"""Funding of perpetual swaps: what it is now, what it pays over a time, and what a pair leaves then. Pure.

`state` folds what exchanges say, `rates` compares rates of different intervals, `settlements` sums those of a
time held, `net` is the one formula of what a position leaves, `trade` says what the position is.
"""
