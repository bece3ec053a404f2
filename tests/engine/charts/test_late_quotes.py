"""A late quote is an older quote for all the scanner decides, and no change of its rhythm."""

import pytest

from engine.gates.freshness import age_ms
from engine.scan.scanner import Scanner
from markets.events import Quote
from tests.support.scan.market import ANY_EDGE, BOOT_NS, MS, NOON_US, config, everywhere


def said(exchange: str, at_ms: int, late_ms: int = 0) -> Quote:
    stamps = NOON_US + at_ms * 1000, BOOT_NS + at_ms * MS
    return Quote(exchange, "BTC/USDT", 100.0, 1.0, 100.1, 1.0, None, *stamps, late_ms * 1000)


@pytest.mark.parametrize("late_ms", [0, 300, 2000, 4900])
def test_lateness_is_age_and_no_rhythm(late_ms: int) -> None:
    scanner = Scanner()
    scanner.configure(config(everywhere("BTC/USDT"), ANY_EDGE), lambda _: True, NOON_US, BOOT_NS)
    for at_ms in range(0, 10_000, 100):
        scanner.on_quote(said("okx", at_ms, late_ms if at_ms >= 5000 else 0))
    leg = next(leg for leg in scanner.legs if leg.exchange == "okx")
    assert age_ms(leg, BOOT_NS + 10_000 * MS) == 100 + late_ms
    assert leg.gap_ms == pytest.approx(100.0)
    assert leg.received_ts_us == NOON_US + 9_900_000
    assert scanner.counters.scan_ignored_old == 0
