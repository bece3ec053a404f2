"""The engine on a real market: the same numbers as polars over the same rows."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from django.conf import settings

from markets.events import Quote
from tests.support.spread_oracle import FIRST, SECOND, SYMBOL, engine, expected, feed, without_gaps

RECORDING = Path(settings.BASE_DIR).parent / "shared/recordings/xex_perp_20250727/s2_0706-0739utc"


def recorded(exchange: str) -> pl.DataFrame:
    path = RECORDING / f"{exchange}_AEVOUSDT_perp.csv.gz"
    if not path.exists():
        pytest.skip("needs the market recordings in ../shared, which this machine does not have")
    return pl.read_csv(path)


def quotes_in_order_of_time() -> list[Quote]:
    """Both exchanges' rows merged; the recording has one time per row, which here is all three clocks."""
    rows = pl.concat([recorded(FIRST), recorded(SECOND)]).sort("timestamp", "exchange", maintain_order=True)
    columns = ("exchange", "bid1_price", "bid1_volume", "ask1_price", "ask1_volume", "timestamp")
    return [
        Quote(exchange, SYMBOL, bid, bid_size, ask, ask_size, ms * 1000, ms * 1000, ms * 1_000_000)
        for exchange, bid, bid_size, ask, ask_size, ms in rows.select(columns).iter_rows()
    ]


@pytest.mark.shared
@pytest.mark.parametrize("tolerance_ms", [1000, None])
def test_half_an_hour_of_two_exchanges_gives_the_spreads_and_bands_polars_computes(
    tolerance_ms: int | None,
) -> None:
    quotes = quotes_in_order_of_time()
    points = without_gaps(feed(engine(tolerance_ms), quotes))
    rows = expected(quotes, tolerance_ms)
    assert len(points) == len(rows) > 10_000
    for column, name in enumerate(("spread", "upper", "lower"), start=1):
        np.testing.assert_allclose(points[:, column], rows[name].to_numpy(), rtol=0, atol=1e-12)
