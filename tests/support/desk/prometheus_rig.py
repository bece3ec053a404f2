"""A real Prometheus beside a desk: the deployed configuration, pointed at that desk's processes."""

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from arbsite.desk.ports import free_port
from arbsite.environment import BASE_DIR

DEPLOY = BASE_DIR / "deploy"
BINARY = shutil.which("prometheus")
START_S = 20.0


class Prometheus:
    """One that runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **query: str) -> Any:
        """The `data` of an answer of its API."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]

    def series(self, expression: str) -> list[dict[str, Any]]:
        """Series that a query finds now."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def health(self) -> set[str]:
        """Health of all rules: ok, err or unknown."""
        return {rule["health"] for rule in self.rules()}

    def targets(self) -> dict[str, str]:
        """Part -> up, down or unknown."""
        found = self.ask("targets", state="active")["activeTargets"]
        return {target["labels"].get("part", ""): target["health"] for target in found}


def dashboard_queries() -> dict[str, str]:
    """`dashboard: panel` -> expression, of every dashboard."""
    found = {}
    for file in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                found[f"{file.stem}: {panel['title']} {target['refId']}"] = target["expr"]
    return found


@contextmanager
def running_prometheus(home: Path, targets: list[dict[str, Any]], every_s: int) -> Iterator[Prometheus]:
    """Prometheus with our configuration and these targets, asking every so often; gone afterwards."""
    shutil.copytree(DEPLOY / "prometheus", home / "config")
    shutil.rmtree(home / "config" / "targets")
    (home / "config" / "targets").mkdir()
    (home / "config" / "targets" / "desk.json").write_text(json.dumps(targets))
    config = home / "config" / "prometheus.yml"
    text = re.sub(r"_interval: 10s", f"_interval: {every_s}s", config.read_text())
    config.write_text(re.sub(r"scrape_timeout: 5s", f"scrape_timeout: {every_s}s", text))
    port = free_port()
    command = [
        BINARY or "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_ready(f"http://127.0.0.1:{port}")
            yield Prometheus(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(10)


def _wait_ready(url: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/-/ready", timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
