"""docs/messages.md says what the code does: its examples, field names, client messages and close codes."""

import json
import re
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from django.conf import settings

from core.web import closing
from engine.charts.points import POINT_COLUMNS, ChartDelta
from realtime.charts import wire

CONTRACT = (Path(settings.BASE_DIR) / "docs" / "messages.md").read_text()


def a_delta(*rows: list[float]) -> ChartDelta:
    points = np.array(rows, dtype=float).reshape(-1, len(POINT_COLUMNS))
    return ChartDelta("BTC/USDT|binance|bybit", "BTC/USDT", "binance", "bybit", "live", "", points)


POINT = [1763640000100000.0, 0.0124, 0.031, -0.02, -18.7, -21.2, 1520.4, 980.0, 0.0, 87.0]


def test_the_documented_delta_is_exactly_what_is_sent() -> None:
    block = re.search(r"```json\n(.*?)```", CONTRACT, re.DOTALL)
    assert block is not None
    documented = json.loads(block[1])
    sent = json.loads(wire.update_json("delta", 1763640000123456, [a_delta(POINT)], [], 1763640000.12))
    assert abs(sent.pop("time") - time.time()) < 60
    assert isinstance(documented.pop("time"), float)
    assert sent == documented


def test_a_gap_is_null_in_every_list_but_the_timestamps() -> None:
    gap = [POINT[0], *[float("nan")] * 9]
    chart = json.loads(wire.chart_json(a_delta(gap)))
    lists = {name: values for name, values in chart.items() if isinstance(values, list)}
    assert lists.pop("timestamps") == [1763640000.1]
    assert all(values == [None] for values in lists.values())
    assert len(lists) == 9


def test_timestamps_one_microsecond_apart_stay_apart() -> None:
    later = [POINT[0] + 1, *POINT[1:]]
    first, second = json.loads(wire.chart_json(a_delta(POINT, later)))["timestamps"]
    assert second > first


@pytest.mark.parametrize("kind", ["ack", "subscribe", "unsubscribe"])
def test_every_documented_client_message_is_understood(kind: str) -> None:
    rows = re.findall(rf'`(\{{"type": "{kind}".*?\}})`', CONTRACT)
    assert rows
    for row in rows:
        filled = row.replace('"seq": N', '"seq": 5').replace("ID}", "7}").replace("[...]", '["x"]')
        assert wire.decode_client_message(filled).__struct_config__.tag == kind


def test_the_contract_lists_every_client_message_and_close_code_there_is() -> None:
    tags = {kind.__struct_config__.tag for kind in wire.ClientMessage.__args__}
    assert tags == set(
        re.findall(r'`\{"type": "(\w+)"', CONTRACT.split("## Client → server")[1].split("##")[0])
    )
    codes = {value for name, value in vars(closing).items() if name.startswith("CLOSE_")}
    codes.discard(closing.CLOSE_REASON_BYTES)
    assert codes == {int(code) for code in re.findall(r"^\| (\d{4}) \|", CONTRACT, re.MULTILINE)}


def test_the_limits_in_the_contract_are_the_limits_in_the_code() -> None:
    assert f"{closing.MAX_MESSAGE_BYTES // 1024} KiB" in CONTRACT
    assert f"{wire.MAX_CHARTS} charts" in CONTRACT


def test_batches_survive_the_way_between_processes() -> None:
    delta = a_delta(POINT, [POINT[0] + 5, *[float("nan")] * 9])
    batch = wire.decode_batch(wire.encode_batch(wire.Batch("1/2", 10, 9, [wire.pack(delta)])))
    back = wire.unpack(batch.charts[0])
    assert (batch.shard, batch.flush_ts_us, batch.previous_ts_us) == ("1/2", 10, 9)
    assert (back.id, back.state, back.reason) == (delta.id, "live", "")
    np.testing.assert_array_equal(back.points, delta.points)
    with pytest.raises(msgspec.MsgspecError):
        wire.decode_batch(b"something else")


def test_a_close_reason_fits_its_frame_even_in_other_scripts() -> None:
    reason = closing.close_reason("причина " * 40)
    assert len(reason.encode()) <= closing.CLOSE_REASON_BYTES
    assert reason.startswith("причина")
