"""Types of what browsers receive (js_types/): their fields are sent, and are null where that is unknown."""

import json
import re
import typing
from pathlib import Path
from types import NoneType
from typing import Any, Final

import numpy as np
import pytest
from django.conf import settings
from msgspec import Struct

from core.health.findings import Finding
from core.health.upkeep import LastRun
from core.process.heartbeat import Heartbeat, QueueFill
from engine.deviation import DeviationStatistics, DeviationTerms
from engine.gates.checks import Gate
from history.lake.standing import Disk, LakeTable
from history.read import ndjson
from monitoring.health.observed import Answer, Observed
from monitoring.pages.graphs import Line, Lines
from monitoring.pages.sections import sections, worst
from monitoring.pages.symbols import Show, SymbolTable
from monitoring.quality.store import Minute
from monitoring.quality.wire import SYMBOL_ROW, ExchangeQuality, Quality
from opportunities.verdicts import Reason
from realtime.charts import wire
from realtime.depth import pair as depth
from realtime.funding import table as funding
from realtime.scanner import messages
from realtime.scanner.explain import DirectionFacts, Explanation

TYPES: Final = Path(settings.BASE_DIR) / "js_types"

_INTERFACE: Final = re.compile(
    r"^  interface (\w+)(?: extends ([^{]+))? \{\n(.*?)^  \}", re.DOTALL | re.MULTILINE
)
_FIELD: Final = re.compile(r"^    (\w+)(\??): (.+);$", re.MULTILINE)


def fields(file: str, interface: str) -> dict[str, str]:
    """Fields of an interface and of those it extends in the same file, with their types."""
    found = {
        name: (bases, body) for name, bases, body in _INTERFACE.findall((TYPES / f"{file}.d.ts").read_text())
    }
    bases, body = found[interface]
    own = {name: kind for name, optional, kind in _FIELD.findall(body) if not optional}
    inherited = (fields(file, base) for base in re.findall(r"[\w.]+", bases) if base in found)
    return {name: kind for each in inherited for name, kind in each.items()} | own


def sent_by(struct: type[Struct]) -> dict[str, bool]:
    """Fields of a struct, and whether each may be None."""
    hints = typing.get_type_hints(struct)
    return {name: NoneType in typing.get_args(hints[name]) for name in struct.__struct_fields__}


def named(*names: str) -> dict[str, bool]:
    """Fields of which only the names are known."""
    return dict.fromkeys(names, False)


def _observed() -> dict[str, Any]:
    """Everything the health page is sent, of a desk that has one of each and knows next to nothing of it."""
    exchange = ExchangeQuality("okx", "live", 0, symbols={})
    now = Observed(
        0,
        Answer(True),
        Answer(True),
        heartbeats=(Heartbeat("web", "web", "here", 1, 0, 0, queues={"frames": QueueFill(0, 1)}),),
        quality=Quality(0, (exchange,), (("okx", "BTC/USDT"),), np.zeros(1, SYMBOL_ROW)),
        lake=(LakeTable("quotes", 1, 1, 1),),
        disk=Disk(2, 1),
        runs=(LastRun("compact quotes", "done", 0, None, 60.0),),
    )
    findings = [Finding("symbol_silent", "BTC/USDT on okx", "warning", 0, "It is silent.", "Look.")]
    parts = {name: json.loads(text) for name, text in sections(now, findings).items()}
    return parts | {
        "symbols": json.loads(SymbolTable(now.quality).page(Show())),
        "worst": worst(now, findings),
    }


HEALTH: Final = _observed()


def _said(part: dict[str, Any]) -> dict[str, bool]:
    return {name: value is None for name, value in part.items()}


SENT: Final[dict[tuple[str, str], dict[str, bool]]] = {
    ("charts", "Entry"): sent_by(wire.Chart),
    ("charts", "Update"): sent_by(wire.Update),
    ("charts", "Refused"): sent_by(wire.Error) | named("type"),
    ("charts", "Point"): named(*ndjson.POINTS),
    ("charts", "Trade"): named(*ndjson.TRADES),
    ("charts", "StreamState"): named(*ndjson.STATES),
    ("charts", "Passage"): named(*ndjson.OPPORTUNITIES),
    ("scanner", "Cells"): named(*messages.CELLS),
    ("scanner", "Head"): sent_by(messages.Head),
    ("scanner", "Compared"): sent_by(Explanation) | named("scanned", "charts"),
    ("scanner", "Direction"): sent_by(DirectionFacts),
    ("scanner", "Gate"): sent_by(Gate),
    ("opportunities", "Figures"): sent_by(DeviationStatistics),
    ("opportunities", "Terms"): sent_by(DeviationTerms),
    ("opportunities", "Reason"): sent_by(Reason),
    ("depth", "Leg"): sent_by(depth.LegDepth),
    ("depth", "Deal"): sent_by(depth.Deal),
    ("depth", "Way"): sent_by(depth.Way),
    ("depth", "Pair"): sent_by(depth.PairDepth),
    ("funding", "Best"): sent_by(funding.Best),
    ("funding", "Row"): sent_by(funding.Row),
    ("health", "Head"): _said(HEALTH["head"]),
    ("health", "Finding"): _said(HEALTH["findings"][0]),
    ("health", "Process"): _said(HEALTH["processes"][0]),
    ("health", "Fill"): _said(HEALTH["processes"][0]["queues"][0]),
    ("health", "Exchange"): _said(HEALTH["exchanges"][0]),
    ("health", "Stores"): _said(HEALTH["stores"]),
    ("health", "LakeTable"): _said(HEALTH["stores"]["lake"][0]),
    ("health", "Run"): _said(HEALTH["stores"]["runs"][0]),
    ("health", "Symbols"): _said(HEALTH["symbols"]),
    ("health", "Instrument"): _said(HEALTH["symbols"]["rows"][0]),
    ("health", "Worst"): _said(HEALTH["worst"]),
    ("health", "Minute"): sent_by(Minute),
    ("health", "Graph"): sent_by(Lines),
    ("health", "GraphLine"): sent_by(Line),
}


@pytest.mark.parametrize(("file", "interface"), SENT)
def test_a_type_has_the_fields_that_are_sent_and_their_nulls(file: str, interface: str) -> None:
    sent, typed = SENT[file, interface], fields(file, interface)
    assert typed, "it has fields"
    assert typed.keys() - {"symbol", "exchange1", "exchange2", "id"} <= sent.keys()
    nullable = {name for name in typed.keys() & sent.keys() if sent[name]}
    assert [name for name in nullable if "null" not in typed[name]] == []


def test_the_words_of_bad_input_and_of_states_are_those_that_are_sent() -> None:
    text = (TYPES / "health.d.ts").read_text()
    bad = re.search(r"type Bad = (.*);", text)
    assert bad is not None
    assert set(re.findall(r'"(\w+)"', bad[1])) == HEALTH["exchanges"][0]["bad"].keys()
