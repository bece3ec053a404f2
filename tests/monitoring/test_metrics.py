"""Metrics: what processes answer Prometheus, that it is documented, and that it cannot explode."""

import json
import os
import re
import socket
import urllib.request
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.test import AsyncClient, Client
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry
from redis import Redis

from accounts.tokens.tokens import make_token
from arbsite.desk.ports import free_port
from arbsite.desk.programs import desk_programs, metrics_targets
from arbsite.environment import BASE_DIR
from collectors.metrics import export_collector
from core.health.findings import Finding
from core.metrics import declare, metrics
from core.process.heartbeat import Heartbeat, QueueFill, Role
from core.process.histogram import Durations
from core.process.vitals import Vitals, companions
from markets.follow.runtime import CollectorStatus
from monitoring.alerts.attempts import Attempts
from monitoring.health.observed import Answer, Observed
from monitoring.metrics import exporter
from monitoring.metrics.desk import export_attempts, export_desk
from monitoring.metrics.families import SERIES_MOST, Families
from monitoring.metrics.process import export_delays, export_process
from monitoring.metrics.tasks import TaskBook
from monitoring.quality.latency import Latencies
from monitoring.quality.wire import STALE, SYMBOL_ROW, Quality
from tests.support.desk.prometheus_rig import DEPLOY, dashboard_queries
from tests.support.live import eventually

STANDARD = {"up", "process_cpu_seconds_total"}


def _exported(to: Families) -> dict[tuple[str, ...], float]:
    """Samples that Prometheus reads: (name, label values in the order of the metric's …) -> value."""

    class One(Collector):
        def collect(self) -> Families:
            return to

    registry = CollectorRegistry(auto_describe=False)
    registry.register(One())
    found = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            metric = metrics.get(sample.name) or metrics[re.sub(r"_(bucket|sum|count)$", "", sample.name)]
            labels = [name for name in (*metric.labels, "le") if name in sample.labels]
            found[sample.name, *(sample.labels[name] for name in labels)] = sample.value
    return found


# --- documented, and asked for by the right name --------------------------------------------------


def test_every_metric_is_documented_as_it_is() -> None:
    rows = re.findall(r"^\| `(arbdesk_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", _doc(), re.MULTILINE)
    documented = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)), words) for name, kind, labels, words in rows
    }
    assert documented == {m.name: (m.kind, m.labels, m.words) for m in metrics.values()}


def test_a_name_is_declared_once() -> None:
    with pytest.raises(ValueError, match="arbdesk_lake_rows: declared already"):
        declare("lake_rows", "", "Another idea of it.")


def _doc() -> str:
    return (BASE_DIR / "docs" / "metrics.md").read_text()


def test_names_follow_prometheus_conventions() -> None:
    for metric in metrics.values():
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert not re.search(r"_(ms|mb|us|pct|s)(_|$)", metric.name), metric.name
        assert set(metric.labels).isdisjoint({"job", "instance", "le", "quantile"}), metric.name


def _known(expression: str, recorded: set[str]) -> set[str]:
    """The names of an expression that no process exports and no rule records."""
    names = set(re.findall(r"[a-z_]+:[a-z0-9_]+:[a-z0-9]+|\barbdesk_\w+", expression))
    ours = set(metrics) | {f"{m.name}_{part}" for m in metrics.values() for part in ("bucket", "sum", "count")
                           if m.kind == "histogram"}  # fmt: skip
    return names - ours - recorded


def _rules() -> str:
    return "".join(
        (DEPLOY / "prometheus" / "rules" / f"{name}.yml").read_text() for name in ("recording", "alerts")
    )


def test_rules_and_dashboards_ask_for_what_there_is() -> None:
    recorded = set(re.findall(r"record: (\S+)", _rules()))
    queries = dashboard_queries()
    assert len(recorded) > 10
    assert len(queries) > 50
    assert {name: _known(query, recorded) for name, query in queries.items() if _known(query, recorded)} == {}
    for line in re.findall(r"expr: (.*)", _rules()):
        assert _known(line, recorded) == set(), line


def test_dashboards_are_what_grafana_provisions() -> None:
    uids, source = [], (DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text()
    for file in (DEPLOY / "grafana" / "dashboards").glob("*.json"):
        board = json.loads(file.read_text())
        uids.append(board["uid"])
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids)), file.name
        for panel in board["panels"]:
            assert panel["title"], file.name
            assert panel["targets"], f"{file.name}: {panel['title']}"
            assert f"uid: {panel['datasource']['uid']}" in source
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    assert len(uids) == len(set(uids)) == 5


def test_every_alert_leads_to_a_paragraph_of_operations() -> None:
    headings = set(re.findall(r"^### (\w+)", (BASE_DIR / "docs" / "operations.md").read_text(), re.MULTILINE))
    named = set(re.findall(r"docs/operations\.md#(\w+)", _rules()))
    assert named
    assert named <= headings


# --- what is exported-------------------------------------------------------------------------------


def test_a_process_is_reported_in_seconds_and_bytes() -> None:
    to = Families()
    beat = Heartbeat(
        "worker", "worker a", "a", 7, 1_000_000, 3_000_000, rss_bytes=5, cpu_pct=50.0, gc_pause_ms=20.0,
        queues={"outbox": QueueFill(3, 10, 2)},
    )  # fmt: skip
    export_process(to, beat)
    exported = _exported(to)
    assert exported["arbdesk_process_start_time_seconds", "worker"] == 1.0
    assert exported["arbdesk_process_cpu_ratio", "worker"] == 0.5
    assert exported["arbdesk_process_gc_pause_seconds", "worker"] == 0.02
    assert exported["arbdesk_queue_dropped_total", "worker", "outbox"] == 2
    assert ("arbdesk_process_loop_lag_seconds", "worker") not in exported  # it has no loop


@pytest.mark.parametrize(
    ("role", "counters", "restarts"),
    [("collector", {"restarts": 2.0}, 2), ("web", {"restarts": 1.0, "scanner_restarts": 3.0}, 4),
     ("monitor", {}, 0), ("beat", {}, None)],
)  # fmt: skip
def test_restarts_of_supervised_parts_are_exported_also_while_there_were_none(
    role: Role, counters: dict[str, float], restarts: int | None
) -> None:
    to = Families()
    export_process(to, Heartbeat(role, "one", "a", 7, 1_000_000, 3_000_000, counters=counters))
    assert _exported(to).get(("arbdesk_process_part_restarts_total", role)) == restarts


def _lake(symbols: int) -> CollectorStatus:
    rows = {f"S{n:04}/USDT": n for n in range(symbols)}
    stats = {
        "rows": {"quotes": sum(rows.values())}, "rows_by_symbol": {"quotes": rows}, "pending_rows": 0,
        "flushes": 1, "flush_s": 0.1, "flush_buckets": {"counts": Durations().buckets().counts, "sum_s": 0.0},
        "failures": 0, "events_lost": 0,
    }  # fmt: skip
    return CollectorStatus("1/1", sinks={"LakeSink": stats})


@pytest.mark.parametrize(("bound", "exported"), [(0, set()), (2, {"S7998/USDT", "S7999/USDT"})])
def test_of_eight_thousand_symbols_only_the_busiest_of_the_bound_are_reported(
    bound: int, exported: set[str]
) -> None:
    to = Families()
    export_collector(to, _lake(8_000), bound)
    assert {key[3] for key in _exported(to) if key[0] == "arbdesk_lake_symbol_rows_total"} == exported


@pytest.mark.parametrize(("bound", "exported"), [(0, set()), (1, {"S3/USDT"})])
def test_of_instruments_only_the_worst_of_the_bound_are_reported(bound: int, exported: set[str]) -> None:
    rows = np.zeros(5, SYMBOL_ROW)
    rows["state"][3] = STALE
    quality = Quality(names=tuple(("okx", f"S{n}/USDT") for n in range(5)), rows=rows)
    to = Families()
    well = Answer(True)
    export_desk(to, Observed(1, redis=well, database=well, quality=quality), [], bound)
    assert {key[2] for key in _exported(to) if key[0] == "arbdesk_symbol_age_seconds"} == exported


def test_no_metric_has_more_series_than_it_may() -> None:
    to = Families()
    for n in range(SERIES_MOST + 10):
        to.add("job_failed", 1, f"work {n}")
    assert len(_exported(to)) == SERIES_MOST


def test_what_is_healthy_is_exported_too_so_that_an_alert_ends() -> None:
    to, well = Families(), Answer(True)
    found = Finding("redis", "redis", "critical", 1, "gone", "start it")
    export_desk(to, Observed(1, redis=Answer(False, "gone"), database=well), [found], 0)
    exported = _exported(to)
    assert exported["arbdesk_findings", "redis", "critical"] == 1
    assert exported["arbdesk_findings", "latency", "warning"] == 0
    assert exported["arbdesk_store_up", "redis"] == 0
    assert exported["arbdesk_store_up", "database"] == 1


def test_delays_since_the_start_are_a_histogram() -> None:
    latencies = Latencies(1, 0)
    latencies.take(np.zeros(4, np.intp), np.array([1.0, 40.0, 40.0, 500_000.0]))
    to = Families()
    export_delays(to, "1/1", ["okx"], latencies.totals)
    exported = _exported(to)
    under = {float(key[3]): value for key, value in exported.items() if key[0].endswith("_bucket")}
    assert sorted(under.values()) == [under[edge] for edge in sorted(under)]  # cumulative
    assert max(value for edge, value in under.items() if edge < 0.0009) == 0
    assert min(value for edge, value in under.items() if edge > 0.045) == 3
    assert under[float("inf")] == exported["arbdesk_exchange_delay_seconds_count", "1/1", "okx"] == 4
    assert exported["arbdesk_exchange_delay_seconds_sum", "1/1", "okx"] > 0.08


def test_attempts_to_deliver_are_reported_by_channel() -> None:
    made = Attempts()
    made.add("desk", "sent", 0.02)
    made.add("desk", "failed", 4.0)
    to = Families()
    export_attempts(to, made)
    exported = _exported(to)
    assert exported["arbdesk_alert_attempts_total", "desk", "sent"] == 1
    assert exported["arbdesk_alert_attempt_seconds_sum", "desk"] == 4.02


def test_tasks_are_counted_where_they_run_and_read_in_the_worker() -> None:
    book = TaskBook(["lake.compact", "markets.sync"], 2)
    for place in (0, 1):
        child = os.fork()
        if child == 0:
            book.ran(place, "lake.compact", "succeeded", 0.2)
            book.ran(place, "unheard.of", "succeeded", 0.2)
            os._exit(0)
        os.waitpid(child, 0)
    book.lost("lake.compact")  # a third one was killed
    assert book.outcomes("lake.compact") == {"succeeded": 2, "failed": 1, "retried": 0}
    assert book.durations("lake.compact").sum_s == pytest.approx(0.4)
    assert sum(book.outcomes("markets.sync").values()) == 0


# --- who is answered, and where -----------------------------------------------------------------------


@pytest.mark.django_db
def test_the_web_answers_the_token_and_those_who_may_and_nobody_else(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No collector runs here, whatever another test of this process reported as one.
    monkeypatch.setattr("monitoring.metrics.exporter.own_status", lambda: None)
    monkeypatch.setattr(settings, "METRICS_TOKEN", "open-sesame")
    trader = User.objects.create_user("trader", password="a long enough one")
    staff = User.objects.create_user("staff", password="a long enough one", is_staff=True)

    def status(authorization: str = "") -> int:
        return client.get("/metrics", headers={"Authorization": authorization}).status_code

    assert status() == 403
    assert status("Bearer open-sesam") == 401
    assert status(f"Bearer {make_token(trader, 1)}") == 403
    assert status(f"Bearer {make_token(staff, 1)}") == 403
    staff.user_permissions.add(Permission.objects.get(codename="read_metrics"))
    assert status(f"Bearer {make_token(staff, 1)}") == 200
    assert status("Bearer open-sesame") == 200
    page = client.get("/charts/", headers={"Authorization": "Bearer open-sesame"})
    assert page.status_code in {302, 404}  # it signs nobody in


@pytest.mark.django_db
def test_without_a_token_set_an_empty_one_opens_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "METRICS_TOKEN", "")
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code in {401, 403}


@pytest.mark.django_db
async def test_requests_are_counted_by_route_not_by_address(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[tuple[str, str, int]] = Counter()
    monkeypatch.setattr("monitoring.metrics.traffic.traffic.requests", counts)
    await async_client.get("/healthz")
    for path in ("/made-up-1", "/made-up-2"):
        await async_client.get(path)
    assert counts == {("GET", "/healthz", 200): 1, ("GET", "none", 404): 2}


async def test_a_process_answers_while_its_heart_beats(
    empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "METRICS_PORT", free_port())
    monkeypatch.setattr("core.process.vitals.companions", [exporter.serve])
    url = f"http://127.0.0.1:{settings.METRICS_PORT}/metrics"

    def text() -> str:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())

    with Vitals("beat", "beat metrics", settings.REDIS_URL):
        await eventually(lambda: "arbdesk_process_info{" in text(), "the process answers")
        assert 'process="beat metrics"' in text()
    with pytest.raises(OSError):
        text()


async def test_a_port_that_is_taken_costs_the_metrics_only(
    empty_redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(settings, "METRICS_PORT", taken.getsockname()[1])
        monkeypatch.setattr("core.process.vitals.companions", [exporter.serve])
        with Vitals("beat", "beat metrics", settings.REDIS_URL) as vitals:
            await eventually(lambda: vitals.latest is not None, "a heartbeat")
    assert "no metrics: cannot listen" in caplog.text


def test_nothing_is_served_where_no_port_is_set() -> None:
    assert settings.METRICS_PORT == 0
    assert companions == []


def test_make_run_gives_prometheus_the_addresses_of_its_programs() -> None:

    programs = [
        replace(each, metrics_port=9000 + n) for n, each in enumerate(desk_programs("127.0.0.1", 80, 81))
    ]
    found = {each["labels"]["part"]: each["targets"] for each in json.loads(metrics_targets(programs))}
    assert set(found) == {"web", "collector", "worker", "beat", "monitor", "simulator"}
    assert found["web"] == ["127.0.0.1:9000"]
