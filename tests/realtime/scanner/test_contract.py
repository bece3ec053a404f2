"""docs/messages.md and docs/scanner.md say of the scanner what the code does."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from django.conf import settings

from core.web.acks import Ack
from realtime.scanner.messages import MAX_ROWS, Head, Page, Show, decode_scan_message, message
from realtime.scanner.table import STATES
from realtime.scanner.view import Query, SortKey

DOCS = Path(settings.BASE_DIR) / "docs"
CONTRACT = (DOCS / "messages.md").read_text().split("## The scanner's socket")[1]
MEANING = (DOCS / "scanner.md").read_text()


def test_the_documented_page_is_exactly_what_is_sent() -> None:
    block = re.search(r"```json\n(.*?)```", CONTRACT, re.DOTALL)
    assert block is not None
    documented = json.loads(block[1])
    (row,) = documented["rows"]
    head = Head(28000, 312, 1, 8.0, net=True, size=1000.0)
    page = Page(head, [row["id"]], [tuple(row[name] for name in head.cells)])
    assert json.loads(message("page", 1, 1_763_640_000_123_000, page.whole())) == documented


def test_the_documented_view_says_every_field_and_its_default() -> None:
    documented = re.search(r'`(\{"type": "view".*?\})`', CONTRACT)
    assert documented is not None
    assert decode_scan_message(documented[1]) == Show()
    assert set(json.loads(documented[1])) == {"type", *Show.__struct_fields__}
    assert decode_scan_message('{"type": "ack", "seq": 5}') == Ack(5)


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "view", "sort": "luck"}',
        '{"type": "view", "limit": 201}',
        '{"type": "view", "offset": -1}',
        '{"type": "view", "hold": 0}',
        '{"type": "view", "hold": 721}',
        '{"type": "view", "colour": "red"}',
        '{"type": "subscribe", "filter": 1}',
        '{"type": "view", "search": "%s"}' % ("x" * 101),
        "nonsense",
    ],
)
def test_what_is_not_in_the_contract_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"docs/messages\.md"):
        decode_scan_message(text)


def test_the_lists_in_the_contract_are_those_in_the_code() -> None:
    sorts = re.search(r"`sort` is one of (.*?);", CONTRACT, re.DOTALL)
    assert sorts is not None
    assert re.findall(r"`(\w+)`", sorts[1]) == list(get_args(SortKey))
    assert f"`limit` is at most {MAX_ROWS}" in " ".join(CONTRACT.split())
    assert all(f"`{state}`" in CONTRACT for state in STATES)
    parameters = MEANING.split("| in the address |")[1].split("\n\n")[0]
    assert set(Query.__struct_fields__) <= set(re.findall(r"`(\w+)`", parameters))
