"""Every real frame of an order book that we can see decodes to what a generic reading of it says."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from google.protobuf import json_format

from collectors.display import GuessedSymbols, OneSize, guessed_swap, guessed_symbol
from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec
from collectors.exchanges.bingx import inflated
from collectors.exchanges.mexc_pb2 import Push
from collectors.exchanges.wire import ContractSize
from collectors.recorded import Line, parse_line
from core.names.market_keys import SWAP, exchange_of, market_of
from engine.books.book import Book
from engine.books.checksum import checksum
from markets.events import BookUpdate, Level, Quote

SHARED = Path(settings.BASE_DIR).parent / "shared"
VISIBLE = SHARED / "wire" / "visible"
RAW = SHARED / "recordings" / "binance_raw_frames_20240808"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not VISIBLE.is_dir(), reason=f"no recorded frames: {VISIBLE} is missing"),
]

LEVELS = 100
SIDES = (("b", "bids", "bidsCoin"), ("a", "asks", "asksCoin"))
NAMED = (("p", "s"), ("p", "v"), ("price", "quantity"))


def codec(market: str, *, exact: bool = True) -> Codec:
    size: Any = Decimal(1) if exact else 1.0
    one = CODECS[market](
        GuessedSymbols({}, guessed_swap if market_of(market) == SWAP else guessed_symbol),
        exact=exact,
        contract_sizes=OneSize(ContractSize(size)),
    )
    one.also_books = True
    return one


def lines(market: str) -> Iterator[tuple[str, Line]]:
    kind = "swap" if market_of(market) == SWAP else "spot"
    for path in sorted((VISIBLE / exchange_of(market) / kind).glob("*depth*.jsonl")):
        for text in path.read_bytes().splitlines():
            yield path.stem, parse_line(text)


def books(one: Codec, line: Line) -> list[BookUpdate]:
    events = one.snapshot(line.frame()) if line.answers else one.decode(line.frame())
    return [event for event in events if isinstance(event, BookUpdate)]


def generic(frame: bytes | str) -> Any:
    """A frame as JSON whose numbers are text."""
    if isinstance(frame, bytes) and frame[:1] not in b"{[":
        inner = inflated(frame)
        if inner is frame:
            return json_format.MessageToDict(Push.FromString(frame))
        frame = inner
    return json.loads(frame, parse_int=str, parse_float=str)


def levels(value: Any, names: tuple[str, ...]) -> list[Any] | None:
    """The rows of a side, wherever in a frame they are: those in coins go first."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return None
    for name in reversed(names):
        if isinstance(value.get(name), list):
            return list(value[name])
    found = (levels(inner, names) for inner in value.values())
    return next((rows for rows in found if rows is not None), None)


def pair(row: Any) -> tuple[str, str]:
    if isinstance(row, dict):
        price, size = next(names for names in NAMED if row.keys() >= {*names})
        return row[price], row[size]
    return row[0], row[1]


@pytest.mark.parametrize("market", CODECS)
def test_every_frame_says_what_a_generic_reading_says(market: str) -> None:
    seen = 0
    for name, line in lines(market):
        (book,) = books(codec(market), line)
        frame = generic(line.frame())
        if "change" in (frame.get("data") or {}):
            price, side, size = frame["data"]["change"].split(",")
            sides = [[(price, size)] if side == word else [] for word in ("buy", "sell")]
        else:
            sides = [[pair(row) for row in levels(frame, names) or []] for names in SIDES]
        sides = [[row for row in side if row[0] != "0"] for side in sides]  # KuCoin: only the sequence moves
        said = [[(format(p, "f"), format(s, "f")) for p, s in rows] for rows in (book.bids, book.asks)]
        assert said == sides, name
        assert (book.kind == "snapshot") >= ("partial" in name or "rest" in name), name
        seen += 1
    assert seen > 0


@pytest.mark.parametrize("market", CODECS)
def test_floats_say_what_decimals_say(market: str) -> None:
    for _, line in lines(market):
        (exact,), (fast,) = (books(codec(market, exact=exact), line) for exact in (True, False))
        for rows, same in ((exact.bids, fast.bids), (exact.asks, fast.asks)):
            assert [(float(price), float(size)) for price, size in rows] == same
        assert (exact.first_seq, exact.last_seq, exact.prev_seq) == (
            fast.first_seq, fast.last_seq, fast.prev_seq,
        )  # fmt: skip
        assert (exact.kind, exact.symbol, exact.checksum) == (fast.kind, fast.symbol, fast.checksum)


def by_symbol(market: str) -> dict[str, list[BookUpdate]]:
    """Updates of a market's recorded deltas, the symbols apart, in the order of the file."""
    found: dict[str, list[BookUpdate]] = {}
    for name, line in lines(market):
        if name == "depth":
            (book,) = books(codec(market, exact=False), line)
            found.setdefault(book.symbol, []).append(book)
    return found


@pytest.mark.parametrize("market", ["okx", "okx:swap"])
def test_the_books_of_a_session_with_checksums_stay_right(market: str) -> None:
    rule = CODECS[market].book_rule
    checked = 0
    for updates in by_symbol(market).values():
        book = Book(rule)
        start = next((at for at, each in enumerate(updates) if each.kind == "snapshot"), None)
        if start is None:
            continue
        for update in updates[start:]:
            if update.checksum and book.apply(update) == "applied":
                checked += 1
    assert checked > 10


def test_a_checksum_is_that_of_the_book_and_of_no_other() -> None:
    whole = next(each[0] for each in by_symbol("okx").values() if each[0].kind == "snapshot")
    assert whole.texts is not None
    assert checksum(whole.texts[0][:25], whole.texts[1][:25]) == whole.checksum
    assert checksum(whole.texts[0][1:26], whole.texts[1][:25]) != whole.checksum


def whole_books(market: str) -> dict[int, BookUpdate]:
    """Snapshots that were asked for, by their ids; what was asked is not in them."""
    found = [
        books(codec(market, exact=False), line)[0] for name, line in lines(market) if name == "rest_depth"
    ]
    return {book.last_seq: book for book in found if book.last_seq is not None and len(book.bids) > 20}


@pytest.mark.parametrize("market", ["binance", "binance:swap", "gate", "kucoin"])
def test_a_recorded_session_goes_on_from_its_snapshot_without_a_gap(market: str) -> None:
    """Each symbol's deltas with the snapshot that lies among their ids, as live: deltas first, then it."""
    joined = 0
    for updates in by_symbol(market).values():
        for last, whole in whole_books(market).items():
            firsts = [each.first_seq or 0 for each in updates]
            ends = [each.last_seq or 0 for each in updates]
            if not min(firsts) - 1 <= last <= max(ends) or not is_near(updates, whole):
                continue
            book, naive = Book(CODECS[market].book_rule), (dict(whole.bids), dict(whole.asks))
            outcomes = [book.apply(each) for each in (*updates, whole)]
            assert outcomes == ["waiting"] * len(updates) + ["applied"]
            later = [each for each in updates if (each.last_seq or 0) > last]
            for each in later:
                for side, rows in zip(naive, (each.bids, each.asks), strict=True):
                    side.update(rows)
            assert book.last_seq == max([last, *ends])
            assert book.top(LEVELS) == (best(naive[0], -1)[:LEVELS], best(naive[1], 1)[:LEVELS])
            joined += 1
    assert joined > 0


def is_near(updates: list[BookUpdate], whole: BookUpdate) -> bool:
    """Whether changes are of the instrument of a snapshot, by their price: some ids are those of all."""
    price = next(level[0] for each in updates for level in (*each.bids, *each.asks))
    return abs(price / max(whole.bids)[0] - 1) < 0.2


def best(side: dict[float, float], sign: int) -> list[Level]:
    return sorted(((p, s) for p, s in side.items() if s), key=lambda level: sign * level[0])


@pytest.mark.skipif(not RAW.is_dir(), reason=f"no recorded sessions: {RAW} is missing")
@pytest.mark.parametrize(("market", "file"), [("binance", "spot"), ("binance:swap", "usdm")])
def test_the_book_of_a_session_is_what_the_exchange_says_its_best_is(market: str, file: str) -> None:
    """Snapshot and deltas of six minutes, against the best bid and ask that came on another channel."""
    with gzip.open(RAW / f"{file}_btcusdt_20240808.gz") as recorded:
        frames = [line.split(b" ", 1)[1] for line in recorded]
    one, book, tickers = codec(market, exact=False), Book(CODECS[market].book_rule), dict[str, Quote]()
    outcomes: Counter[str] = Counter()
    compared = 0
    for frame in frames:
        updates = one.snapshot(frame, "BTCUSDT") if b'"lastUpdateId"' in frame else one.decode(frame)
        for update in updates:
            if isinstance(update, Quote):
                tickers[generic(frame)["data"]["u"]] = update
            elif isinstance(update, BookUpdate):
                outcomes[book.apply(update)] += 1
                said = tickers.get(str(book.last_seq))
                if said is not None and not book.resyncing:
                    assert book.best() == (said.bid, said.bid_size, said.ask, said.ask_size)
                    compared += 1
    assert outcomes["applied"] > 1000
    assert outcomes["gap"] == 0
    assert compared > 10
