"""`manage.py decode` of order books."""

from pathlib import Path

import pytest

from tests.collectors.decode.test_command import Decoded

pytestmark = pytest.mark.django_db

DELTA = (
    '{"channel":"depth","payload":{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1700000000123,'
    '"s":"BTCUSDT","U":158,"u":160,"b":[["100.50000000","1.20000000"]],"a":[["100.60000000","0.00000000"]]}}}'
)
ANSWER = (
    '{"channel":"rest_depth","payload":{"lastUpdateId":160,"bids":[["100.50000000","1.2"]],'
    '"asks":[["100.60","7e-3"]]}}'
)
CHAINED = (
    '{"channel":"depth","payload":{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"action":"update",'
    '"data":[{"asks":[],"bids":[["100.5","3","0","4"]],"ts":"1700000000123","checksum":0,"prevSeqId":10,'
    '"seqId":15}]}}'
)
WHOLE = (
    '{"channel":"%s","payload":{"symbol":"BTC_USDT","data":{"asks":[[100.60,70,1]],"bids":[[100.5,20,1]],'
    '"version":7},"channel":"push.depth.full","ts":1700000000123}}'
)


def test_a_change_has_the_exchanges_own_decimals_and_ids(tmp_path: Path) -> None:
    decoded = Decoded("binance", [DELTA], tmp_path)
    assert decoded.events == [
        {
            "type": "book", "kind": "delta", "exchange": "binance", "symbol": "BTC/USDT",
            "bids": [["100.50000000", "1.20000000"]], "asks": [["100.60000000", "0.00000000"]],
            "first_seq": 158, "last_seq": 160, "checksum": None, "exchange_ts_us": 1_700_000_000_123_000,
        }
    ]  # fmt: skip
    assert "binance: book 1" in decoded.err


def test_an_answer_of_rest_is_a_snapshot_without_a_symbol_where_it_names_none(tmp_path: Path) -> None:
    (book,) = Decoded("binance", [ANSWER], tmp_path).events
    assert (book["kind"], book["symbol"], book["last_seq"]) == ("snapshot", None, 160)
    assert (book["bids"], book["asks"]) == ([["100.50000000", "1.2"]], [["100.60", "0.007"]])


def test_where_an_exchange_says_which_one_it_follows_that_is_first(tmp_path: Path) -> None:
    (book,) = Decoded("okx", [CHAINED], tmp_path, "--market", "swap").events
    assert (book["first_seq"], book["last_seq"], book["checksum"], book["unit"]) == (10, 15, 0, "contract")
    (coins,) = Decoded("okx", [CHAINED], tmp_path, "--market", "swap", "--contract-size", "0.01").events
    assert (coins["bids"], coins["unit"]) == ([["100.5", "0.03"]], "base")


def test_a_book_of_which_a_quote_is_made_is_both_on_a_channel_of_depth(tmp_path: Path) -> None:
    quote, book = Decoded("mexc", [WHOLE % "depth_partial"], tmp_path, "--market", "swap").events
    assert (quote["type"], quote["ask"], book["type"]) == ("quote", "100.60", "book")
    assert (book["kind"], book["asks"], book["last_seq"]) == ("snapshot", [["100.60", "70"]], 7)
    (only,) = Decoded("mexc", [WHOLE % "book_ticker"], tmp_path, "--market", "swap").events
    assert only == quote
