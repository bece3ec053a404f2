"""One window for the acks of every socket: a message in flight, and an end to patience."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.web import acks
from core.web.acks import ACK_TIMEOUT_S, AckWindow, acked_seq
from core.web.closing import CLOSE_NO_ACK


@given(st.lists(st.integers(0, 40) | st.just("send")), st.integers(0, 5))
def test_it_is_open_exactly_when_the_last_message_is_acked(steps: list[int | str], seen: int) -> None:
    window, drawn = AckWindow(seen), seen
    for step in steps:
        if isinstance(step, str):
            window.seq += 1
            window.sent()
        else:
            window.acked(step)
            drawn = max(drawn, min(step, window.seq))
        assert window.is_open == (drawn == window.seq)
        assert not window.is_overdue, "nothing is overdue at once"


def test_an_ack_of_what_was_never_sent_opens_nothing_later() -> None:
    window = AckWindow()
    window.acked(10**9)
    window.seq += 1
    window.sent()
    assert not window.is_open


def test_an_ack_is_overdue_from_the_last_second_of_patience_until_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0
    monkeypatch.setattr(acks, "time", SimpleNamespace(monotonic=lambda: now_s))
    window = AckWindow()
    found = [window.is_overdue]
    window.seq += 1
    window.sent()
    for pause_s in (0.0, ACK_TIMEOUT_S - 0.5, 0.5):
        now_s += pause_s
        found.append(window.is_overdue)
    window.acked(window.seq)
    found.append(window.is_overdue)
    assert found == [False, False, False, True, False]


def test_what_is_overdue_says_for_how_long() -> None:
    closed = AckWindow().overdue()
    assert closed.code == CLOSE_NO_ACK
    assert f"{ACK_TIMEOUT_S:g} s" in closed.reason


def test_only_an_ack_is_one() -> None:
    assert acked_seq(b'{"type":"ack","seq":7}') == 7
    for text in (
        b"",
        b"{}",
        b'{"type":"ack"}',
        b'{"type":"ack","seq":-1}',
        b'{"type":"ack","seq":1,"x":1}',
        b"\xff",
    ):
        assert acked_seq(text) is None
