"""Symbols and chart ids are put together and taken apart in one place each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.names.chart_ids import chart_id_of, parts_of
from core.names.symbols import base_of, quote_of

_NAMES = st.text(st.characters(exclude_characters="|/:", codec="utf-8"), min_size=1)


@given(_NAMES, _NAMES, _NAMES)
def test_a_chart_id_comes_apart_into_what_it_was_made_of(symbol: str, one: str, two: str) -> None:
    assert parts_of(chart_id_of(symbol, one, two)) == (symbol, one, two)


@pytest.mark.parametrize("text", ["", "BTC/USDT", "BTC/USDT|binance", "BTC/USDT|binance|bybit|okx"])
def test_what_is_no_chart_id_is_refused_with_one_that_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"one looks like BTC/USDT\|binance\|bybit") as refused:
        parts_of(text)
    assert repr(text) in str(refused.value)


@given(_NAMES, _NAMES, st.just("") | _NAMES.map(":{}".format))
def test_a_symbol_has_a_base_and_a_quote_whatever_it_settles_in(base: str, quote: str, settle: str) -> None:
    symbol = f"{base}/{quote}{settle}"

    assert (base_of(symbol), quote_of(symbol)) == (base, quote)


def test_what_has_no_slash_is_its_own_base_and_priced_in_nothing() -> None:
    assert (base_of("BTCUSDT"), quote_of("BTCUSDT")) == ("BTCUSDT", "")
