"""Registrations of apps with core: checks and kinds of findings, and that operators can read of each."""

import re

import pytest

from arbsite.environment import BASE_DIR
from core.health.findings import checks, finds, kinds
from monitoring.models import What


def test_a_kind_has_one_owner_and_says_what_it_means() -> None:
    assert all(kinds.values())
    with pytest.raises(ValueError, match="disk, gc: registered already"):
        finds(disk="again", gc="again")(lambda _now, _limits: ())


def test_every_app_checks_its_own_data() -> None:
    of_apps = {check.__module__ for check in checks}
    assert of_apps == {
        "collectors.health", "history.health", "markets.health", "realtime.health",
        "orderbook.health", "orderbook.ingest.health",
        "monitoring.health.assess", "monitoring.health.assess_funding", "monitoring.health.assess_market",
    }  # fmt: skip


def test_the_operators_guide_has_a_paragraph_for_every_kind() -> None:
    guide = (BASE_DIR / "docs" / "operations.md").read_text()
    described = re.findall(r"^### (\w+)$", guide, re.MULTILINE)
    assert sorted(described) == sorted(kinds), "each kind has a paragraph, and each paragraph a kind"
    assert described == [what for what in What.values if what in kinds], "in the order of the rules"
