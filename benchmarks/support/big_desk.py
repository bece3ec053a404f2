"""A desk of 8 exchanges and many symbols in a benchmark's own PostgreSQL, and a simulator to collect from."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "arbsite.settings"
import django

import tests.support.servers  # noqa: F401 - starts PostgreSQL and Redis, and puts their addresses into the settings

django.setup()

from django.core.management import call_command  # noqa: E402

from arbsite.desk.ports import free_port  # noqa: E402
from markets.defaults import EXCHANGES, FILTER_NAME, FILTER_PAIRS, QUOTE  # noqa: E402
from markets.models import Exchange, Instrument, OpportunityFilter, Symbol  # noqa: E402
from markets.seed import seed  # noqa: E402
from simulator.catalogue import listings  # noqa: E402

ROOT: Final = Path(__file__).resolve().parent.parent.parent


def set_up(symbols: int, charts: int, url: str = "", min_edge_bps: float | None = None) -> None:
    """Set up so many symbols on all exchanges and pairs, and one filter that charts some of them."""
    call_command("migrate", verbosity=0)
    seed(url)
    bases = [listing.base for listing in listings(symbols) if listing.quote == QUOTE]
    there = set(Symbol.objects.values_list("base", flat=True))
    Symbol.objects.bulk_create(
        Symbol(name=f"{base}/{QUOTE}", base=base, quote=QUOTE, enabled=True)
        for base in bases
        if base not in there
    )
    exchanges = {row.key: row for row in Exchange.objects.all()}
    new = Symbol.objects.exclude(base__in=there)
    Instrument.objects.bulk_create(
        Instrument(
            exchange=exchanges[default.key], symbol=symbol,
            native_id=f"{symbol.base}{default.joiner}{symbol.quote}",
        )
        for default, symbol in product(EXCHANGES, new)
    )  # fmt: skip
    row = OpportunityFilter.objects.get(name=FILTER_NAME)
    row.symbols = "\n".join(f"{base}/{QUOTE}" for base in bases[: charts // len(FILTER_PAIRS)])
    if min_edge_bps is not None:
        row.min_edge_bps = min_edge_bps
    row.save()


@contextmanager
def process(
    *arguments: str, core: int | None = None, **environment: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """`manage.py …` of its own, on one core if wanted, until the block ends; what it says is kept quiet."""
    pin = ("taskset", "-c", str(core)) if core is not None else ()
    running = subprocess.Popen(
        [*pin, sys.executable, str(ROOT / "manage.py"), *arguments],
        cwd=ROOT, env={**os.environ, **environment},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield running
    finally:
        running.terminate()
        running.wait(30)


@contextmanager
def simulator(symbols: int, rate: float, core: int | None = None) -> Iterator[str]:
    """A simulator of all exchanges; gives its address."""
    port = free_port()
    options = ("--port", str(port), "--symbols", str(symbols), "--rate", str(rate))
    with process("simulate", *options, core=core):
        yield f"http://127.0.0.1:{port}"


def status_of(pid: int, field: str) -> float:
    """A memory field of /proc/PID/status, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used, its ended children's not included."""
    fields: Any = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
