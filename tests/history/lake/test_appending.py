"""Appends to a table of the lake: once each, beside other writers, and in files that statistics can prune."""

import datetime
import shutil
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import LocalStore

from history.lake.logs import look
from history.lake.parquet import file_schema
from history.lake.schema import SCHEMA_VERSION, SCHEMAS
from history.lake.tables import Lake, LakeError
from history.maintenance import compaction
from history.read.reader import LakeReader
from history.write import appending
from history.write.appending import CHECKPOINT_EVERY, Appender
from history.write.buffer import Buffer
from markets.events import OpportunityEvent
from tests.support.lakes.lake import bids, quote, rows

MORNING_US = 1_772_357_400_000_000


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def quotes(*numbers: int) -> pa.Table:
    """One row per number, of two exchanges in turn."""
    buffer = Buffer()
    buffer.add(quote(number, exchange=("binance", "okx")[number % 2]) for number in numbers)
    return buffer.tables()["quotes"]


class TestOnce:
    def test_the_same_sequence_number_appends_once(self, lake: Lake) -> None:
        appender = Appender(lake, "quotes", "me")
        for _ in range(2):
            appender.append(quotes(1, 2), 1)
        assert bids(lake) == [1, 2]

    def test_neither_does_another_process_of_the_same_name_append_it_again(self, lake: Lake) -> None:
        Appender(lake, "quotes", "import of a file").append(quotes(1), 7)
        Appender(lake, "quotes", "import of a file").append(quotes(1), 7)
        Appender(lake, "quotes", "import of a file").append(quotes(2), 8)
        assert bids(lake) == [1, 2]

    @pytest.mark.parametrize("lost", ["_delta_log/", "date="])
    def test_a_retry_after_an_answer_that_was_lost_adds_nothing_twice(
        self, lake: Lake, lost: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The store did as asked, and then the connection broke."""
        appender = Appender(lake, "quotes", "me")
        appender.append(quotes(1), 1)
        put = LocalStore.put

        def put_and_break(store: LocalStore, path: str, *arguments: Any, **options: Any) -> None:
            put(store, path, *arguments, **options)
            if path.startswith(lost):
                monkeypatch.undo()
                raise OSError("connection reset")

        monkeypatch.setattr(LocalStore, "put", put_and_break)
        with pytest.raises(OSError, match="connection reset"):
            appender.append(quotes(2), 2)
        appender.append(quotes(2), 2)
        appender.append(quotes(3), 3)
        assert bids(lake) == [1, 2, 3]

    def test_writers_at_once_lose_and_double_nothing(self, lake: Lake) -> None:
        def write(writer: int) -> None:
            appender = Appender(lake, "quotes", f"writer {writer}")
            for turn in range(40):
                appender.append(quotes(writer * 1000 + turn), turn)

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert bids(lake) == [writer * 1000 + turn for writer in range(4) for turn in range(40)]

    def test_it_goes_on_beside_writes_by_the_library(self, lake: Lake) -> None:
        appender = Appender(lake, "quotes", "me")
        appender.append(quotes(1), 1)
        delta = lake.open("quotes")
        assert delta is not None
        partition = [pa.array(["2026-01-01"]), pa.array([0], pa.int32())]
        for number in (2, 3):
            table = quotes(number).append_column("date", partition[0]).append_column("hour", partition[1])
            lake.append(delta, "quotes", table, "library", number)
            appender.append(quotes(number + 10), number)
        assert bids(lake) == [1, 2, 3, 12, 13]


class TestTable:
    def test_the_log_is_summed_up_now_and_then(self, lake: Lake) -> None:
        appender = Appender(lake, "quotes", "me", mark="collector 1/1")
        for number in range(1, CHECKPOINT_EVERY + 3):
            appender.append(quotes(number), number)
            appender.checkpoint_if_due()
        log = Path(lake.uri("quotes")) / "_delta_log"
        assert (log / f"{CHECKPOINT_EVERY:020}.checkpoint.parquet").exists()
        delta = lake.open("quotes")
        assert delta is not None
        assert delta.transaction_version("me") == CHECKPOINT_EVERY + 2
        assert len(bids(lake)) == CHECKPOINT_EVERY + 2

    def test_a_log_whose_old_entries_were_deleted_is_continued(self, lake: Lake) -> None:
        """After a long silence the newest entry known may be gone, and a number before the end free."""
        quiet, busy = Appender(lake, "quotes", "quiet"), Appender(lake, "quotes", "busy")
        quiet.append(quotes(1), 1)
        for number in range(2, CHECKPOINT_EVERY + 3):
            busy.append(quotes(number), number)
            busy.checkpoint_if_due()
        log = Path(lake.uri("quotes")) / "_delta_log"
        for version in range(CHECKPOINT_EVERY):
            (log / f"{version:020}.json").unlink()
        quiet.append(quotes(1000), 2)
        assert bids(lake) == [*range(1, CHECKPOINT_EVERY + 3), 1000]

    @pytest.mark.parametrize("hint", ["kept", "lost", "broken"])
    def test_a_new_writer_of_a_log_that_was_summed_up_knows_what_is_in_it(
        self, lake: Lake, hint: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(appending, "CHECKPOINT_EVERY", 2)
        appender = Appender(lake, "quotes", "me", mark="collector 1/1")
        for number in range(1, 6):
            appender.append(quotes(number), number)
            if number < 5:
                appender.checkpoint_if_due()
        log = Path(lake.uri("quotes")) / "_delta_log"
        for version in range(4):
            (log / f"{version:020}.json").unlink()
        if hint == "lost":
            (log / "_last_checkpoint").unlink()
        if hint == "broken":
            (log / "_last_checkpoint").write_text("{")
        found = look(lake, "quotes", "me", "collector 1/1", "nobody")
        delta = lake.open("quotes")
        assert found is not None
        assert delta is not None
        assert (found.version, delta.version()) == (5, 5)
        assert found.columns == [field.name for field in delta.schema().fields]
        assert found.min_writer_version == delta.protocol().min_writer_version
        assert found.transactions == {
            "me": 5, "collector 1/1": delta.transaction_version("collector 1/1")
        }  # fmt: skip

    def test_a_hole_in_the_log_is_filled_and_its_rows_are_kept(self, lake: Lake) -> None:
        appender = Appender(lake, "quotes", "me")
        for number in (1, 2, 3):
            appender.append(quotes(number), number)
        (Path(lake.uri("quotes")) / "_delta_log" / f"{2:020}.json").unlink()
        Appender(lake, "quotes", "me too").append(quotes(4), 1)
        assert bids(lake) == [1, 2, 3, 4]

    def test_a_table_that_was_deleted_is_begun_again(self, lake: Lake) -> None:
        appender = Appender(lake, "quotes", "me")
        appender.append(quotes(1), 1)
        shutil.rmtree(lake.uri("quotes"))
        appender.append(quotes(2), 2)
        assert bids(lake) == [2]

    def test_a_table_another_program_changed_is_looked_at_before_the_next_append(self, lake: Lake) -> None:
        appender = Appender(lake, "quotes", "me")
        appender.append(quotes(1), 1)
        delta = lake.open("quotes")
        assert delta is not None
        delta.alter.set_table_properties({"delta.checkpointInterval": "50"})
        with pytest.raises(LakeError, match="was changed by another program"):
            appender.append(quotes(2), 2)
        appender.append(quotes(2), 2)
        assert bids(lake) == [1, 2]

    def test_a_table_without_a_column_of_ours_is_refused_by_name(self, lake: Lake) -> None:
        pl.DataFrame({"exchange": ["okx"]}).write_delta(lake.uri("quotes"))
        with pytest.raises(LakeError, match="is of another version: no symbol, bid, "):
            Appender(lake, "quotes", "me").append(quotes(1), 1)

    def test_a_checkpoint_that_fails_costs_no_row(
        self, lake: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(appending, "CHECKPOINT_EVERY", 1)
        appender = Appender(lake, "quotes", "me")
        appender.append(quotes(1), 1)
        (Path(lake.uri("quotes")) / "_delta_log" / "_last_checkpoint").write_text("{")
        (Path(lake.uri("quotes")) / "_delta_log" / f"{2:020}.checkpoint.parquet").mkdir()
        appender.append(quotes(2), 2)
        appender.checkpoint_if_due()
        assert bids(lake) == [1, 2]
        assert "no checkpoint of the lake's quotes" in caplog.text


class TestFiles:
    def test_a_file_is_zstd_with_dictionaries_and_deltas_and_names_the_schema(self, lake: Lake) -> None:
        Appender(lake, "quotes", "me").append(quotes(*range(1, 2001)), 1)
        (path,) = Path(lake.uri("quotes")).glob("date=*/hour=*/*.parquet")
        metadata = pq.read_metadata(path)
        assert metadata.metadata[b"schema_version"] == str(SCHEMA_VERSION).encode()
        columns = [metadata.row_group(0).column(i) for i in range(metadata.num_columns)]
        encodings = {column.path_in_schema: set(column.encodings) for column in columns}
        assert {column.compression for column in columns} == {"ZSTD"}
        for name in ("exchange", "symbol", "bid", "ask_size"):
            assert "RLE_DICTIONARY" in encodings[name], name
        for name in ("received_ts_us", "exchange_ts_us", "received_mono_ns"):
            assert "DELTA_BINARY_PACKED" in encodings[name], name

    def test_the_log_says_between_which_values_a_file_lies(self, lake: Lake) -> None:
        Appender(lake, "quotes", "me").append(quotes(3, 4, 5), 1)
        delta = lake.open("quotes")
        assert delta is not None
        (file,) = pl.DataFrame(delta.get_add_actions(flatten=True)).to_dicts()
        times = rows(lake, "quotes")["received_ts_us"]
        assert file["num_records"] == 3
        assert (file["min.exchange"], file["max.exchange"]) == ("binance", "okx")
        assert (file["min.received_ts_us"], file["max.received_ts_us"]) == (times[0], times[2])
        assert file["null_count.exchange_ts_us"] == 3


class TestNewColumns:
    """The lake of an older desk: its table of opportunities does not say the direction."""

    @pytest.fixture
    def older(self, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Lake:
        """One event, written as the older version did."""
        schema = SCHEMAS["opportunities"]
        without = pa.schema([field for field in schema if field.name not in ("buy_on", "sell_on")])
        with monkeypatch.context() as then:
            then.setitem(SCHEMAS, "opportunities", without)
            file_schema.cache_clear()
            Appender(lake, "opportunities", "old").append(_events(1), 1)
        file_schema.cache_clear()
        return lake

    def test_older_files_stay_readable_and_have_nulls(self, older: Lake) -> None:
        found = LakeReader(older).scan("opportunities").collect()
        assert found.select("ts_us", "buy_on", "sell_on").rows() == [(MORNING_US + 1, None, None)]
        (batch,) = LakeReader(older).batches("opportunities", columns=["buy_on"])
        assert batch.to_pylist() == [{"buy_on": None}]

    def test_an_appender_widens_the_table_and_both_kinds_of_files_read_and_compact_together(
        self, older: Lake
    ) -> None:
        writers = [Appender(older, "opportunities", name) for name in ("one", "other")]
        for number, writer in enumerate(writers, 2):
            writer.append(_events(number), number)
        expected = [(None, None), ("okx", "gate"), ("okx", "gate")]

        def directions() -> list[Any]:
            scan = LakeReader(older).scan("opportunities").sort("ts_us")
            return scan.select("buy_on", "sell_on").collect().rows()

        assert directions() == expected
        later = datetime.datetime.fromtimestamp(MORNING_US / 1e6 + 7200, datetime.UTC)
        assert sum(step.work() for step in compaction.plan(older, "opportunities", later)) == 3
        assert len(LakeReader(older).snapshot("opportunities").files) == 1
        assert directions() == expected
        delta = older.open("opportunities")
        assert delta is not None
        assert pl.DataFrame(delta.to_pyarrow_table()).sort("ts_us")["buy_on"].to_list() == [
            None,
            "okx",
            "okx",
        ]


def _events(number: int) -> pa.Table:
    buffer = Buffer()
    values = (0.1, 1.0, 2.0, 3.0, 4.0)
    at_us = MORNING_US + number
    buffer.add([OpportunityEvent("BTC/USDT", "gate", "okx", 3, "open", at_us, *values, "okx", "gate")])
    return buffer.tables()["opportunities"]
