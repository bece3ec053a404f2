"""Contract sizes that are missing, withdrawn or changed: nothing is emitted in a wrong size."""

import json
from typing import Any

import pytest
from msgspec import structs

from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec
from collectors.exchanges.order import Order
from collectors.exchanges.wire import ContractSize
from core.names.market_keys import exchange_of
from markets.events import Quote, StreamState
from markets.sync.swaps import SIZE_FIELDS
from tests.collectors.codecs.test_swaps import BY_CONTRACTS, SPELLED_OUT
from tests.support.exchanges.swap_frames import SAID, SWAP_QUOTES, SWAP_TRADES, made


@pytest.mark.parametrize("market", BY_CONTRACTS)
@pytest.mark.parametrize("exact", [False, True])
def test_without_a_contract_size_nothing_is_emitted_and_it_is_counted(market: str, exact: bool) -> None:
    codec = made(market, contract_sizes={}, exact=exact)
    assert not codec.decode(SWAP_QUOTES[market])
    assert not codec.decode(SWAP_TRADES[market])
    assert codec.counts == {"no_contract_size": 2}
    assert codec.rejects == {("BTC/USDT", "no_contract_size"): 2}


@pytest.mark.parametrize("market", BY_CONTRACTS)
def test_a_contract_size_that_is_withdrawn_ends_the_belief_and_a_new_one_holds_at_once(market: str) -> None:
    sizes: dict[str, ContractSize] = {}
    codec = made(market, contract_sizes=sizes)
    codec.order = Order()
    native_id = {"okx": "BTC-USDT-SWAP", "kucoin": "XBTUSDTM"}.get(exchange_of(market), "BTC_USDT")
    sizes[native_id] = ContractSize(12.0)
    (quote,) = codec.decode(SWAP_QUOTES[market])
    assert isinstance(quote, Quote)
    assert (quote.bid_size, quote.ask_size) == (480.0, 720.0)
    del sizes[native_id]
    (gap,) = codec.decode(SWAP_QUOTES[market])
    assert isinstance(gap, StreamState)
    assert gap.reason == "the size of its contract is not known"
    sizes[native_id] = ContractSize(120.0)
    (quote,) = codec.decode(SWAP_QUOTES[market])
    assert isinstance(quote, Quote)
    assert (quote.bid_size, quote.ask_size) == (4800.0, 7200.0)


SIZE_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "okx:swap": ({"instId": "BTC-USDT-SWAP", "ctMult": "1"}, "ctVal"),
    "gate:swap": (
        {"name": "BTC_USDT", "mark_price": "100.51", "funding_rate": "0.0001"},
        "quanto_multiplier",
    ),
    "kucoin:swap": ({"symbol": "XBTUSDTM", "fundingFeeRate": 0.0001}, "multiplier"),
    "mexc:swap": ({"symbol": "BTC_USDT"}, "contractSize"),
}


def size_said(market: str, size: Any) -> bytes:
    """A polled answer about contracts that says this size."""
    row, field = SIZE_ROWS[market]
    rows = [{**row, field: size}, {"symbol": "X", "name": "X", "instId": "X", field: size}]
    return json.dumps(rows if market == "gate:swap" else {"data": rows}).encode()


def test_fields_of_the_contract_size_are_those_of_the_catalogue() -> None:
    assert {exchange_of(key): CODECS[key].size_fields for key in BY_CONTRACTS} == SIZE_FIELDS  # type: ignore[attr-defined]
    assert all(CODECS[key].sheet.polled for key in BY_CONTRACTS)


@pytest.mark.parametrize("market", BY_CONTRACTS)
@pytest.mark.parametrize("said", ["120", 120, 0, -1, "NaN", None, "", "many", [12], {}, True, 1e300, 1e-300])
def test_another_contract_size_than_is_configured_ends_the_belief_at_once(market: str, said: Any) -> None:
    codec, native_id = connected_with(market, 12.0)
    assert codec.decode(SWAP_QUOTES[market], 1, 1)
    assert not any(isinstance(each, StreamState) for each in codec.polled(size_said(market, "12.0"), 2, 2))
    (gap, *_) = codec.polled(size_said(market, said), 3, 3)
    assert isinstance(gap, StreamState)
    assert (gap.exchange, gap.symbols, gap.state) == (market, ("BTC/USDT",), "gap")
    assert "coins now, where 12 are configured: sync the markets" in gap.reason
    assert codec.counts["contract_size_changed"] == 1
    assert native_id not in codec.contract_sizes

    assert not [
        event for event in codec.polled(size_said(market, said), 4, 4) if isinstance(event, StreamState)
    ]
    assert not [event for event in codec.decode(SWAP_QUOTES[market], 5, 5) if isinstance(event, Quote)]
    assert codec.resized[native_id].since_us == 3, "since when it was first said"
    assert codec.counts["contract_size_changed"] == 1

    codec.polled(size_said(market, 12), 6, 6)
    assert codec.contract_sizes[native_id] == 12.0
    assert codec.resized == {}


@pytest.mark.parametrize("market", BY_CONTRACTS)
def test_every_connection_is_said_once_why_a_resized_contract_has_no_quote(market: str) -> None:
    codec, _ = connected_with(market, 12.0)
    codec.polled(size_said(market, 120), 1, 1)
    for _ in range(2):
        codec.order = Order()
        (gap,) = codec.decode(SWAP_QUOTES[market], 2, 2)
        assert isinstance(gap, StreamState)
        assert "is of 120" in gap.reason
        assert not codec.decode(SWAP_QUOTES[market], 3, 3)


def connected_with(market: str, size: float) -> tuple[Codec, str]:
    """A codec of one connection that knows the size of one contract, and its native id."""
    native_id = {"okx:swap": "BTC-USDT-SWAP", "kucoin:swap": "XBTUSDTM"}.get(market, "BTC_USDT")
    codec = made(market, contract_sizes={native_id: ContractSize(size)})
    codec.order = Order()
    return codec, native_id


def test_the_list_of_gates_contracts_says_what_tickers_say() -> None:
    """Of a contract that nobody trades there are no tickers for long."""
    (row,) = json.loads(SAID["gate:swap"][0])["result"]
    row = {"name": row.pop("contract"), **row, "quanto_multiplier": "0.05"}
    events = made("gate:swap").polled(json.dumps([row]).encode(), 1_700_000_000_123_000, 1)
    assert [structs.replace(each, received_ts_us=0, received_mono_ns=0) for each in events] == [
        structs.replace(each, exchange_ts_us=None) for each in SPELLED_OUT["gate:swap"]
    ]
