"""A real Prometheus beside a simulated desk: every process answers, every rule evaluates, every query finds.

    .venv/bin/python benchmarks/alerts/prometheus_trial.py

Needs Debian's `prometheus` on PATH. Starts a desk of its own, scrapes it every 2 s with the deployed
configuration, makes a browser's socket and a task, and waits at most `TRIAL_S` for all to be there.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from arbsite.environment import BASE_DIR
from tests.support.desk.prometheus_rig import BINARY, Prometheus, dashboard_queries, running_prometheus

TRIAL_S = 150.0
SCRAPE_S = 2
PARTS = {"web", "collector", "worker", "beat", "monitor", "simulator"}


def main() -> None:
    """Run the trial and print what was found."""
    if BINARY is None:
        raise SystemExit("prometheus is not on PATH: apt-get install prometheus")
    deadline = time.monotonic() + TRIAL_S
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        desk = _start_desk(home / "desk")
        try:
            targets = _targets(home / "desk" / "metrics-targets.json", deadline)
            (home / "prometheus").mkdir()
            with running_prometheus(home / "prometheus", targets, SCRAPE_S) as prometheus:
                _report(prometheus, deadline)
        finally:
            desk.send_signal(signal.SIGTERM)
            desk.wait(60)


def _start_desk(home: Path) -> "subprocess.Popen[bytes]":
    home.mkdir()
    port = 8000 + os.getpid() % 1000
    ours = {
        "FEED": "sim",
        "ARB_HOME": str(home),
        "PORT": str(port),
        "ENV_FILE": "/dev/null",
    }
    command = [sys.executable, str(BASE_DIR / "manage.py"), "up"]
    desk = subprocess.Popen(command, env=os.environ | ours, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert desk.stdout is not None
    for line in desk.stdout:
        if b"is running" in line:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/accounts/login/", timeout=5).close()
            return desk
    raise SystemExit("the desk did not start")


def _targets(file: Path, deadline: float) -> list[dict[str, object]]:
    _until(file.exists, deadline)
    found: list[dict[str, object]] = json.loads(file.read_text())
    return found


def _report(prometheus: Prometheus, deadline: float) -> None:
    queries = dashboard_queries()
    _until(lambda: _all_well(prometheus, queries), deadline)
    up = {part for part, health in prometheus.targets().items() if health == "up"}
    sick = [rule["name"] for rule in prometheus.rules() if rule["health"] != "ok"]
    empty = [name for name, query in queries.items() if not prometheus.series(query)]
    firing = [rule["name"] for rule in prometheus.rules() if rule.get("state") == "firing"]
    series = prometheus.series('count({__name__=~"arbdesk_.*"})')[0]["value"][1]
    print(f"processes that answer   {', '.join(sorted(up))}")
    print(f"rules                   {len(prometheus.rules())}, of them unhealthy: {sick or 'none'}")
    print(f"dashboard queries       {len(queries)}, of them without data: {empty or 'none'}")
    print(f"alerts that fire        {firing or 'none'}")
    print(f"series of the desk      {series}")
    figures = {
        "PROCESSES": {"value": len(up), "target": len(PARTS), "met": up >= PARTS},
        "RULES_NOT_WELL": {"value": len(sick), "target": 0, "met": not sick},
        "QUERIES_WITHOUT_DATA": {"value": len(empty), "target": 0, "met": not empty},
    }
    print(json.dumps({"benchmark": "prometheus_trial", "figures": figures}))


def _all_well(prometheus: Prometheus, queries: dict[str, str]) -> bool:
    return (
        {part for part, health in prometheus.targets().items() if health == "up"} >= PARTS
        and all(rule["health"] == "ok" for rule in prometheus.rules())
        and all(prometheus.series(query) for query in queries.values())
    )


def _until(true: Callable[[], bool], deadline: float) -> None:
    while time.monotonic() < deadline and not true():
        time.sleep(0.5)


if __name__ == "__main__":
    main()
