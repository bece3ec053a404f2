"""Maintenance, cut into steps it can stop between."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One commit's worth of work. `work` returns the rows it rewrote or deleted."""

    label: str
    work: Callable[[], int]
