"""Purged walk-forward splits: train on what lies before, test on what comes after."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Rows = NDArray[np.intp]


def walk_forward(
    available_at: pl.Series, folds: int, horizon: timedelta, embargo: timedelta
) -> Iterator[tuple[Rows, Rows]]:
    """Yield rows to train on and to test on, for each of `folds` equal spans of time but the first.

    A label looks `horizon` ahead. Rows whose labels reach into the test's span are purged from training, and
    so are those within `embargo` before that. Time counts and not the number of rows: seconds may be missing.
    """
    if folds < 2:
        raise ValueError(f"folds: {folds} is too few; the first of at least 2 is only trained on")
    at: NDArray[Any] = available_at.to_physical().to_numpy()
    bounds = np.linspace(at.min(), at.max() + 1, folds + 1).astype(np.int64)
    kept_apart_us = (horizon + embargo) // timedelta(microseconds=1)
    for begins, ends in pairwise(bounds[1:]):
        train = np.flatnonzero(at + kept_apart_us < begins)
        test = np.flatnonzero((at >= begins) & (at < ends))
        if len(train) and len(test):
            yield train, test
