"""docs/ml.md: its examples run, and the features it names are those there are."""

import ast
import inspect
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from orderbook.ml import MLDataLoader
from orderbook.ml.adapters.base import BARS
from orderbook.ml.features.table import FAMILIES
from orderbook.ml.walk_forward import walk_forward
from tests.orderbook.ml.market import dsn, store_events, walk

TEXT = (Path(settings.BASE_DIR) / "docs" / "ml.md").read_text()
TODAY = datetime(2026, 3, 5, tzinfo=UTC)


async def run(code: str, known: dict[str, Any]) -> None:
    """Run an example as a notebook does, where `async with` needs no function around it."""
    compiled = compile(code, "docs/ml.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    waiting = eval(compiled, known)
    if inspect.iscoroutine(waiting):
        await waiting


@pytest.mark.django_db(transaction=True)
async def test_the_examples_run_and_are_scored_against_no_change(
    store: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The offsets of the made exchanges return to zero: a model that is right is better than no change."""
    monkeypatch.setattr(MLDataLoader.__init__, "__defaults__", (lambda: TODAY + timedelta(hours=1),))
    store_events(store, walk(TODAY - timedelta(hours=5), 1500))
    known: dict[str, Any] = {"dsn": dsn()}
    for example in re.findall(r"```python\n(.*?)```", TEXT, re.S):
        await run(example, known)
    assert set(BARS) <= set(known["bars"].columns)
    said = capsys.readouterr().out
    assert re.search(r"^no change  off by \d+\.\d{3} bps on average, \+0\.0% better", said, re.M)
    assert len(said.splitlines()) == 3
    assert known["mean_bps"]["ridge"] < known["mean_bps"]["no change"]


@given(
    seconds=st.lists(st.integers(0, 1000), min_size=20, max_size=200, unique=True),
    folds=st.integers(2, 6),
    horizon_s=st.integers(0, 30),
    embargo_s=st.integers(0, 60),
)
def test_no_label_of_training_reaches_into_a_test_or_its_embargo(
    seconds: list[int], folds: int, horizon_s: int, embargo_s: int
) -> None:
    at = pl.Series([second * 1_000_000 for second in sorted(seconds)], dtype=pl.Datetime("us", "UTC"))
    seen = -1
    splits = walk_forward(at, folds, timedelta(seconds=horizon_s), timedelta(seconds=embargo_s))
    for train, test in splits:
        assert sorted(seconds)[train.max()] + horizon_s + embargo_s < sorted(seconds)[test.min()]
        assert test.min() > seen
        seen = int(test.max())


def test_one_fold_is_no_test() -> None:
    at = pl.Series([1, 2], dtype=pl.Datetime("us", "UTC"))
    with pytest.raises(ValueError, match="folds: 1 is too few"):
        next(walk_forward(at, 1, timedelta(), timedelta()))


def test_every_feature_is_in_the_document_with_its_formula() -> None:
    for family in FAMILIES:
        for name in family:
            assert f"`{name}`" in TEXT or name.startswith("hour_"), name
