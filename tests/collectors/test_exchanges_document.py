"""Tables of docs/exchanges.md say what the codecs do."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from collectors.exchanges import CODECS
from core.names.market_keys import SPOT, SWAP, exchange_of, market_key, market_of

DOCUMENT = (Path(settings.BASE_DIR) / "docs" / "exchanges.md").read_text()
NAMES = {CODECS[key].sheet.name: key for key in CODECS if market_of(key) == SPOT}
QUOTED = re.compile(r"`([^`]+)`")


def rows(heading: str) -> list[list[str]]:
    """Cells of the first table under a heading, each row with its exchange's name."""
    table: list[list[str]] = []
    name = ""
    for line in DOCUMENT.partition(f"{heading}\n")[2].splitlines():
        if not line.startswith("|"):
            if table:
                break
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        cells[0] = name = cells[0] or name
        table.append(cells)
    return table[2:]


def of_markets(heading: str) -> dict[str, list[str]]:
    """The cells after the market's by key of a market; `both` is both."""
    found = {}
    for name, market, *cells in rows(heading):
        for each in (SPOT, SWAP) if market == "both" else (market,):
            found[market_key(NAMES[name], each)] = cells
    return found


CHANNELS = of_markets("## Channels and cadence")
SOCKETS = of_markets("## Sockets")


@pytest.mark.parametrize("key", CODECS)
def test_the_channels_are_those_that_are_subscribed_to(key: str) -> None:
    """Each word in a cell is in the name of a topic; what is in more than one cell is a funding topic too."""
    quotes, trades, marks, _ = CHANNELS[key]
    codec = CODECS[key]({})
    names: dict[str, list[str]] = {"quote": [], "trade": [], "funding": []}
    for topic in codec.topics("BTC_USDT"):
        names[topic.channel].append(topic.name)
    cells = {"quote": quotes, "trade": trades} | ({"funding": marks} if market_of(key) == SWAP else {})
    for channel, cell in cells.items():
        words = QUOTED.findall(cell)
        assert words, (channel, cell)
        for word in words:
            parts = word.split("@")
            assert any(all(part in name for part in parts) for name in names[channel]), (word, names[channel])


@pytest.mark.parametrize("key", CODECS)
def test_addresses_heartbeats_and_limits_are_those_of_the_data_sheets(key: str) -> None:
    where, heartbeat, _, limits = SOCKETS[key]
    sheet = CODECS[key].sheet
    if sheet.token_path is None:
        assert all(urlsplit(url).netloc in where for url in {sheet.ws_url}), where
        for url in sheet.urls:
            assert urlsplit(url).path.rsplit("/", 1)[-1] in where
    if sheet.ping_s is None:
        assert "the server" in heartbeat
    else:
        assert f"every {sheet.ping_s:g} s" in heartbeat
    if limits == "the same":
        limits = SOCKETS[exchange_of(key)][3]
    assert str(sheet.topics_per_connection) in limits
    if sheet.requests_per_hour is not None:
        assert f"{sheet.requests_per_hour} requests an hour" in limits
    if sheet.request_bytes is not None:
        assert f"{sheet.request_bytes} bytes" in limits or f"{sheet.request_bytes // 1024} KB" in limits


def test_what_is_asked_for_over_rest_is_listed() -> None:
    listed: dict[str, list[str]] = {}
    for name, path, _ in rows(
        "What sockets do not say is asked for over REST, once a minute and of all swaps at once:"
    ):
        listed.setdefault(market_key(NAMES[name], SWAP), []).extend(QUOTED.findall(path))
    polled = {key: CODECS[key].sheet.polled for key in CODECS if CODECS[key].sheet.polled}
    assert listed.keys() == polled.keys()
    for key, paths in polled.items():
        assert {path.partition("?productType")[0] for path in paths} == set(listed[key])


def test_sizes_are_in_what_the_data_sheets_say() -> None:
    for names, _, swap, fields in rows("## Sizes"):
        for name in names.split(", "):
            codec = CODECS[market_key(NAMES[name], SWAP)]
            assert (codec.sheet.sized_in == "contract") == swap.startswith(("contracts", "lots"))
            assert tuple(QUOTED.findall(fields)) == codec.size_fields  # type: ignore[attr-defined]
