"""Looking after a lake in an object store: the same maintenance, over S3 on loopback."""

from collections.abc import Iterator

import pytest

from history.lake.inventory import files_of
from history.lake.tables import Lake
from history.maintenance import compaction, retention
from tests.history.lake.test_compaction import OVER, quotes, rows_of, same_rows
from tests.history.lake.test_s3 import Store
from tests.support.lakes.lake_data import write


@pytest.fixture
def lake() -> Iterator[Lake]:
    store = Store()
    yield Lake("s3://bucket/desk", store.options)
    store.stop()


def test_an_hour_is_compacted_cleaned_and_deleted(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "SLICE_ROWS", 500)
    for seed in range(3):
        write(lake, "quotes", quotes(300, seed=seed))
    before = rows_of(lake)

    assert sum(step.work() for step in compaction.plan(lake, "quotes", OVER)) == 900

    assert same_rows(before, rows_of(lake))
    assert len(files_of(lake, "quotes")) == 1
    for step in retention.plan_cleaning(lake, "quotes"):
        step.work()
    assert same_rows(before, rows_of(lake))
    assert retention.delete_before(lake, "quotes", "2026-03-02") == 900
    assert len(rows_of(lake)) == 0
