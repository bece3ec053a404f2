"""kill -9 at any moment: the tables stay readable, and what was acknowledged is there, once."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import polars as pl
from django.conf import settings

from tests.support.lakes.lake import rows

LIVES = 50
SEED = 20260101


def test_a_writer_killed_fifty_times_loses_nothing_acknowledged_and_breaks_no_table(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lost_s = []
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.lakes.lake_lives", str(LIVES), str(SEED)],
        cwd=settings.BASE_DIR,
        env=os.environ | {"LAKE_URL": str(lake), "DJANGO_SETTINGS_MODULE": "arbsite.settings"},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            death = json.loads(line)
            if not (lake / "quotes" / "_delta_log").exists():
                assert death["acknowledged"] == 0
                continue
            written = rows(lake, "quotes").filter(pl.col("exchange") == f"life {death['life']}").sort("bid")
            assert written["bid"].to_list() == list(range(1, len(written) + 1)), death
            assert len(written) >= death["acknowledged"], death
            if len(written):
                lost_s.append((death["killed_us"] - written["received_ts_us"][-1]) / 1e6)
    assert process.returncode == 0
    assert len(lost_s) > LIVES / 2
    assert statistics.median(lost_s) < 0.5  # these lives flush every 0.02 s
    gaps = rows(lake, "stream_states").filter(pl.col("state") == "gap")
    assert gaps["since_us"].null_count() == 0
    assert gaps["since_us"].n_unique() > LIVES / 2
