"""`collect --shard i/n`: every instrument in exactly one part, with everything it is compared with."""

from hypothesis import given
from hypothesis import strategies as st

from markets.config import InstrumentConfig, Shard

NAMES = st.text(min_size=1, max_size=12)
ALIASES = st.dictionaries(NAMES, NAMES, max_size=20)  # symbol on an exchange -> what it counts as
COUNTS = st.integers(1, 64)


def shards(count: int) -> list[Shard]:
    return [Shard.parse(f"{index}/{count}") for index in range(1, count + 1)]


def owners(instrument: InstrumentConfig, count: int) -> list[Shard]:
    return [shard for shard in shards(count) if shard.owns(instrument.shard_key)]


@given(st.frozensets(NAMES, max_size=50), ALIASES, COUNTS)
def test_the_parts_overlap_nowhere_and_leave_no_hole(
    symbols: frozenset[str], aliases: dict[str, str], count: int
) -> None:
    instruments = [InstrumentConfig("binance", s, s, aliases.get(s, "")) for s in symbols | aliases.keys()]
    assert all(len(owners(instrument, count)) == 1 for instrument in instruments)


@given(NAMES, NAMES, COUNTS)
def test_an_alias_is_collected_where_its_symbol_is(symbol: str, alias: str, count: int) -> None:
    same = InstrumentConfig("binance", symbol, symbol)
    other = InstrumentConfig("okx", alias, alias, counts_as=symbol)
    assert owners(other, count) == owners(same, count)
