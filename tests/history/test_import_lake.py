"""`manage.py import_lake`: the predecessor's files come along, each once."""

import datetime
import json
import os
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from history.imports import importing
from history.imports.importing import Importer
from history.imports.old_files import find
from history.imports.old_names import Names
from history.lake.tables import Lake
from history.models import RetentionPolicy
from history.read.reader import LakeReader
from markets.models import Instrument, Symbol
from markets.seed import seed
from tests.support.lakes.old_lake import MORNING, MORNING_US, folder, spreads, times, trades


@pytest.fixture(autouse=True)
def desk(db: None, tmp_path: Path, settings: Settings) -> None:
    """The default desk with an empty lake, and nothing that retention would delete."""
    seed()
    RetentionPolicy.objects.update(days=None)
    settings.HOME = tmp_path / "home"
    settings.LAKE_URL = str(tmp_path / "lake")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old"
    path.mkdir()
    return path


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "report.ndjson"


def run(old: Path, *arguments: str) -> tuple[str, str]:
    """Run the command; what it says on stdout and stderr."""
    out, err = StringIO(), StringIO()
    call_command("import_lake", str(old), *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def rows(table: str = "quotes") -> pl.DataFrame:
    """Rows of the lake, in order of time."""
    scan = LakeReader(Lake.from_settings()).scan(table)
    return scan.sort("received_ts_us", "exchange", "symbol").collect()


def said_in(report: Path) -> dict[str, dict[str, Any]]:
    """The report by file name."""
    found = [json.loads(line) for line in report.read_text().splitlines()]
    return {Path(line["file"]).name: line for line in found}


class TestRows:
    def test_best_bid_and_ask_become_quotes_without_sizes(self, old: Path) -> None:
        spreads(
            old, "Bybit", "BTCUSDT", prices=[("64000.1", "64000.2"), ("0.0000052100", "1234567.8901234567")]
        )
        said, _ = run(old)
        assert "quotes: 2 rows of 1 files imported" in said
        assert rows().rows() == [
            ("bybit", "BTC/USDT", 64000.1, None, 64000.2, None, None, MORNING_US, None, None),
            (
                "bybit",
                "BTC/USDT",
                5.21e-6,
                None,
                1234567.8901234567,
                None,
                None,
                MORNING_US + 100_000,
                None,
                None,
            ),
        ]
        partitions = pl.DataFrame(Lake.from_settings().open("quotes").get_add_actions(flatten=True))  # type: ignore[union-attr]
        assert partitions.select("partition.date", "partition.hour").row(0) == ("2025-03-01", 9)

    def test_every_decimal_becomes_the_nearest_float(self, old: Path) -> None:
        asks = [Decimal(10**9 + number * 7919) / 10**7 for number in range(5000)]
        spreads(old, prices=[("0.1", str(ask)) for ask in asks])
        run(old)
        assert rows()["ask"].to_list() == [float(ask) for ask in asks]

    def test_trades_become_trades_with_the_side_in_whatever_spelling(self, old: Path) -> None:
        trades(old, sides=["Buy", "Sell", "buy", "SELL", "maybe"])
        trades(old, "Bybit", sides=pa.array([0, 1, 1], pa.int32()))
        trades(old, "OKX", "BTC-USDT", sides=pa.array(["Buy", "Sell"]).dictionary_encode())
        run(old)
        found = rows("trades").group_by("exchange", maintain_order=True).agg("side", "size").sort("exchange")
        assert dict(zip(found["exchange"], found["side"].to_list(), strict=True)) == {
            "binance": ["buy", "sell", "buy", "sell", None],
            "bybit": ["buy", "sell", "sell"],
            "okx": ["buy", "sell"],
        }
        assert found["size"][1].to_list() == [0.001, 0.002, 0.003]

    @pytest.mark.parametrize("unit", ["ms", "us", "ns"])
    def test_naive_times_are_utc_in_any_unit(self, old: Path, unit: str) -> None:
        spreads(old, unit=unit)
        run(old)
        assert rows()["received_ts_us"].to_list() == [MORNING_US + 100_000 * n for n in range(5)]

    def test_times_with_a_zone_are_what_they_say(self, old: Path) -> None:
        berlin = MORNING.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
        spreads(
            old, prices=[("1", "2")], Timestamp=pa.array([berlin], pa.timestamp("us", tz="Europe/Berlin"))
        )
        run(old)
        assert rows()["received_ts_us"].to_list() == [MORNING_US - 3_600_000_000]

    def test_rows_that_cannot_be_are_left_out_and_counted(self, old: Path) -> None:
        prices: list[Any] = [("1", "2"), ("2", "1"), ("0", "1"), (None, "1"), ("1", None), ("1", "1")]
        spreads(old, prices=prices)
        spreads(
            old,
            hour=10,
            prices=[("1", "2")],
            Timestamp=pa.array([MORNING.replace(year=1)], pa.timestamp("us")),
        )
        said, _ = run(old)
        assert "quotes: 2 rows of 2 files imported; 5 rows left out" in said
        assert rows()["ask"].to_list() == [2.0, 1.0]


class TestNames:
    @pytest.mark.parametrize(
        ("exchange", "symbol", "expected"),
        [
            ("Binance", "BTCUSDT", ("binance", "BTC/USDT")),
            ("BINANCE", "btcusdt", ("binance", "BTC/USDT")),
            ("Gate.io", "BTC_USDT", ("gate", "BTC/USDT")),
            ("GateIo", "BTCUSDT", ("gate", "BTC/USDT")),
            ("Kucoin", "BTC-USDT", ("kucoin", "BTC/USDT")),
            ("OKX", "BTC%2FUSDT", ("okx", "BTC/USDT")),
            ("BingX", "NEVER_HEARD", ("bingx", "NEVER/HEARD")),
        ],
    )
    def test_exchange_and_symbol_in_any_spelling(
        self, old: Path, exchange: str, symbol: str, expected: tuple[str, str]
    ) -> None:
        spreads(old, exchange, symbol, Exchange=None, Symbol=None)
        run(old)
        assert set(rows().select("exchange", "symbol").rows()) == {expected}

    def test_what_an_exchange_calls_differently_is_looked_up_in_its_catalogue(self, old: Path) -> None:
        symbol = Symbol.objects.create(name="BSV/USDT", base="BSV", quote="USDT")
        Instrument.objects.create(exchange_id=exchange_pk("kucoin"), symbol=symbol, native_id="BCHSV-USDT")
        spreads(old, "Kucoin", "BCHSV-USDT")
        spreads(old, "Kucoin", "BCHSVUSDT", hour=10)
        run(old)
        assert set(rows()["symbol"]) == {"BSV/USDT"}

    def test_unknown_names_are_reported_and_skipped_and_imported_once_they_are_known(
        self, old: Path, report: Path
    ) -> None:
        spreads(old, "Kraken", "BTCUSDT", name="spreads-kraken")
        spreads(old, "Binance", "FOOBAR", name="spreads-foobar")
        spreads(old)
        said, errors = run(old, "--report", str(report))
        assert "quotes: 5 rows of 1 files imported; 2 files skipped" in said
        assert "2 files were not imported" in errors
        assert said_in(report)["spreads-kraken.parquet"]["problem"] == (
            "unknown exchange Kraken: add it in the admin"
        )
        assert said_in(report)["spreads-foobar.parquet"]["fate"] == "skipped"
        Symbol.objects.create(name="FOO/BAR", base="FOO", quote="BAR")
        said, _ = run(old)
        assert "quotes: 5 rows of 1 files imported; 1 files there already; 1 files skipped" in said

    def test_letters_of_two_symbols_are_not_guessed(self, old: Path) -> None:
        for base, quote in (("AB", "CDE"), ("ABC", "DE")):
            Symbol.objects.create(name=f"{base}/{quote}", base=base, quote=quote)
        spreads(old, "Binance", "ABCDE")
        _, errors = run(old)
        assert "unknown symbol ABCDE on binance" in errors


def exchange_pk(key: str) -> int:
    return Instrument.objects.filter(exchange__key=key).values_list("exchange_id", flat=True)[0]


class TestOnce:
    def test_a_second_run_imports_nothing(self, old: Path) -> None:
        spreads(old)
        trades(old)
        run(old)
        said, _ = run(old)
        assert "quotes: 0 rows of 0 files imported; 1 files there already" in said
        assert "trades: 0 rows of 0 files imported; 1 files there already" in said
        assert (len(rows()), len(rows("trades"))) == (5, 2)

    def test_nor_does_a_run_over_a_part_or_a_moved_folder_or_two_copies(self, old: Path) -> None:
        spreads(old)
        run(old / "exchange=Binance")
        moved = old.with_name("moved")
        old.rename(moved)
        (old / "copy").mkdir(parents=True)
        spreads(old / "copy")
        run(moved)
        run(old)
        assert len(rows()) == 5

    def test_two_copies_in_one_run_are_imported_once(self, old: Path) -> None:
        spreads(old / "a")
        spreads(old / "b")
        assert "5 rows of 1 files imported; 1 files there already" in run(old)[0]

    def test_new_files_are_imported_by_the_next_run(self, old: Path) -> None:
        spreads(old)
        run(old)
        spreads(old, hour=10)
        run(old)
        assert len(rows()) == 10

    def test_a_file_that_changed_is_quarantined(self, old: Path, report: Path) -> None:
        spreads(old)
        run(old)
        path = spreads(old, prices=[("1", "2")] * 6)
        with pytest.raises(CommandError, match="1 files were not imported"):
            run(old, "--report", str(report))
        assert said_in(report)[path.name]["problem"].startswith("changed since it was imported")
        assert len(rows()) == 5

    def test_an_interrupted_import_goes_on(self, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for hour in range(10):
            spreads(old, hour=hour)
        monkeypatch.setattr(importing, "GROUP_FILES", 3)
        files, _ = find(old)
        outcomes = Importer(Lake.from_settings(), Names(), dry_run=False).run(files)
        for _ in range(4):
            next(outcomes)
        del outcomes  # as killed: in the middle of reporting the second commit
        assert len(rows()) == 30
        said, _ = run(old)
        assert "quotes: 20 rows of 4 files imported; 6 files there already" in said
        assert len(rows()) == 50
        assert rows()["received_ts_us"].n_unique() == 50

    def test_ctrl_c_says_how_to_go_on(self, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spreads(old)

        def interrupted(*_args: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Lake, "append_all", interrupted)
        with pytest.raises(CommandError, match="stopped after 0 files; run the same command again") as caught:
            run(old)
        assert caught.value.returncode == 130

    def test_a_dry_run_says_the_same_and_writes_nothing(self, old: Path) -> None:
        spreads(old)
        said, _ = run(old, "--dry-run")
        assert "quotes: 5 rows of 1 files would be imported" in said
        assert not Path(Lake.from_settings().url).exists()
        run(old)
        said, _ = run(old, "--dry-run")
        assert "quotes: 0 rows of 0 files would be imported; 1 files there already" in said


class TestQuarantine:
    def test_bad_files_are_listed_with_reasons_the_rest_is_imported_and_the_exit_code_is_1(
        self, old: Path, report: Path
    ) -> None:
        spreads(old)
        whole = spreads(old, name="spreads-truncated", prices=[("1", "2")] * 1000)
        os.truncate(whole, whole.stat().st_size - 100)
        (folder(old, "Binance", "BTCUSDT") / "spreads-empty.parquet").touch()
        (folder(old, "Binance", "BTCUSDT") / "spreads-text.parquet").write_text(
            "no Parquet at all, however long"
        )
        spreads(old, name="spreads-schema", BestAsk=None)
        spreads(old, name="spreads-type", BestBid=["a lot"] * 5)
        spreads(old, name="spreads-time", Timestamp=["soon"] * 5)
        spreads(old, name="spreads-astray", Symbol=["ETHUSDT"] * 5)
        with pytest.raises(
            CommandError, match=r"7 files were not imported; .*report\.ndjson lists them"
        ) as caught:
            run(old, "--report", str(report))
        assert caught.value.returncode == 1
        assert len(rows()) == 5
        problems = {name: line["problem"] for name, line in said_in(report).items()}
        assert {line["fate"] for line in said_in(report).values()} == {"quarantined"}
        assert problems["spreads-truncated.parquet"].startswith("unreadable or truncated: ")
        assert problems["spreads-empty.parquet"].startswith("unreadable or truncated: ")
        assert problems["spreads-text.parquet"].startswith("unreadable or truncated: ")
        assert problems["spreads-schema.parquet"].startswith("no column BestAsk; it has Timestamp, BestBid, ")
        assert problems["spreads-type.parquet"] == "column BestBid is of type string"
        assert problems["spreads-time.parquet"] == "column Timestamp is of type string"
        assert problems["spreads-astray.parquet"] == "its column Symbol says ETHUSDT, its folder BTCUSDT"
        assert whole.exists()

    def test_damage_in_the_middle_of_a_file_is_noticed_or_harmless(self, old: Path) -> None:
        path = spreads(old, prices=[(f"{n}.123", f"{n}.456") for n in range(1, 2000)])
        content = bytearray(path.read_bytes())
        content[200:260] = bytes(60)
        path.write_bytes(content)
        with pytest.raises(CommandError, match="1 files were not imported"):
            run(old)

    def test_a_file_repaired_later_is_imported(self, old: Path) -> None:
        path = spreads(old)
        whole = path.read_bytes()
        path.write_bytes(whole[:-50])
        with pytest.raises(CommandError):
            run(old)
        path.write_bytes(whole)
        run(old)
        assert len(rows()) == 5


class TestFolder:
    def test_a_folder_that_is_not_there_or_holds_nothing_of_the_kind(self, old: Path) -> None:
        with pytest.raises(CommandError, match=r"cannot read .*nowhere: No such file"):
            run(old / "nowhere")
        with pytest.raises(CommandError, match="there is no exchange=E/symbol=S"):
            run(old)

    def test_other_parquet_files_are_named(self, old: Path) -> None:
        spreads(old)
        (old / "notes.parquet").touch()
        assert "Passed over, not in the layout: " in run(old)[1]

    def test_rows_that_the_retention_would_delete_are_warned_of(self, old: Path) -> None:
        spreads(old)
        RetentionPolicy.objects.update_or_create(table="quotes", defaults={"days": 30})
        _, errors = run(old)
        assert "quotes: rows from 2025-03-01 on, but only 30 days are kept" in errors

    def test_a_file_without_rows_is_imported_once_like_any_other(self, old: Path) -> None:
        spreads(old, prices=[], Timestamp=times(0))
        assert "quotes: 0 rows of 1 files imported" in run(old)[0]
        assert "1 files there already" in run(old)[0]
