"""Findings call markets by their names, and are distinguished by their keys."""

from monitoring.quality.wire import Quality
from tests.support.observed import NOW, exchange, found, look


def test_words_call_markets_by_their_names_and_subjects_by_their_keys() -> None:
    down = exchange(exchange="okx:swap", state="down", reason="no frame for 20 s")
    now = look(quality=Quality(at_us=NOW, exchanges=(down,)), names={"okx:swap": "OKX swap"})
    said = found(now)["exchange_silent:okx:swap"]
    assert (said.subject, said.words) == ("okx:swap", "OKX swap is down: no frame for 20 s.")
    lost = exchange(exchange="okx:swap", reconnects_per_min=100.0, clock_offset_ms=5000.0)
    poor = found(look(quality=Quality(at_us=NOW, exchanges=(lost,)), names=now.names))
    assert poor["reconnects:okx:swap"].words.startswith("Connections to OKX swap were lost")
    assert poor["clock_offset:okx:swap"].words.startswith("The clock of OKX swap is")
    assert not [each for each in poor.values() if "okx:swap" in each.words]
