"""Debian's own Prometheus reads our configuration, rules and metrics; skipped where it is not installed."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from redis import Redis

from arbsite.desk.ports import free_port
from core.process.vitals import Vitals
from monitoring.metrics import exporter
from tests.support.desk.prometheus_rig import BINARY, DEPLOY, dashboard_queries, running_prometheus
from tests.support.live import eventually

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def _promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_configuration_and_rules_are_good_and_alerts_come_and_go() -> None:
    _promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    _promtool("test", "rules", DEPLOY / "prometheus" / "tests" / "alerts.yml")


@needs_promtool
def test_every_query_of_a_dashboard_is_one(tmp_path: Path) -> None:
    queries = dashboard_queries().values()
    rules = [{"record": f"query:number_{n}", "expr": query} for n, query in enumerate(queries)]
    (tmp_path / "queries.yml").write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))
    _promtool("check", "rules", tmp_path / "queries.yml")


@pytest.mark.skipif(BINARY is None, reason="prometheus is not installed")
async def test_prometheus_reads_a_process_and_evaluates_every_rule(
    empty_redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "METRICS_PORT", free_port())
    monkeypatch.setattr("core.process.vitals.companions", [exporter.serve])
    targets = [{"targets": [f"127.0.0.1:{settings.METRICS_PORT}"], "labels": {"part": "web"}}]

    beating = Vitals("web", "web metrics", settings.REDIS_URL)
    with beating, running_prometheus(tmp_path, targets, 1) as prometheus:
        await eventually(lambda: prometheus.targets() == {"web": "up"}, "the process is asked")
        await eventually(lambda: prometheus.health() == {"ok"}, "every rule evaluates")
        assert prometheus.series('arbdesk_process_info{role="web", part="web"}')
