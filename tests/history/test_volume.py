"""A page gets few rows of trades, and in them every coin that was traded."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from history.read.volume import summed

SECOND_US = 1_000_000
SCHEMA = {"received_ts_us": pl.Int64, "price": pl.Float64, "size": pl.Float64, "side": pl.String}

trades = st.lists(
    st.tuples(
        st.integers(0, 60 * SECOND_US - 1),
        st.floats(1, 1000),
        st.floats(0.001, 1000),
        st.sampled_from(["buy", "sell", None]),
    ),
    max_size=60,
).map(lambda rows: sorted(rows, key=lambda row: row[0]))


@given(rows=trades, cut=st.integers(0, 60), points=st.integers(6, 200))
def test_sides_keep_their_size_and_value_however_the_rows_arrive(
    rows: list[tuple[int, float, float, str | None]], cut: int, points: int
) -> None:
    frames = [pl.DataFrame(part, schema=SCHEMA, orient="row") for part in (rows[:cut], rows[cut:])]
    found = [row for frame in summed(frames, points, 0, 60 * SECOND_US) for row in frame.to_dicts()]
    assert len(found) <= points
    assert [row["received_ts_us"] for row in found] == sorted(row["received_ts_us"] for row in found)
    for side in ("buy", "sell", None):
        sizes = [(price, size) for _, price, size, of in rows if of == side]
        summed_up = [(row["price"], row["size"]) for row in found if row["side"] == side]
        assert sum(size for _, size in summed_up) == pytest.approx(sum(size for _, size in sizes))
        assert sum(p * s for p, s in summed_up) == pytest.approx(sum(p * s for p, s in sizes))
        assert all(size >= 0 for _, size in summed_up)
        extremes = [
            {f(price for price, _ in of) for f in (min, max)} if of else set() for of in (summed_up, sizes)
        ]
        assert extremes[0] == extremes[1], "the lowest and the highest price stay"
