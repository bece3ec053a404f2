"""How much a channel is sent, and how soon one that fails is asked again."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.alerts.budget import DEAD_AFTER, MEND_S, RETRY_CEILING_S, Budget, Patience
from monitoring.alerts.channels.parcels import Answer

LATER = Answer("later", "503")
pauses = st.lists(st.floats(0, 90, allow_nan=False), min_size=1, max_size=80)


@settings(max_examples=40)
@given(pauses, st.floats(0.05, 20), st.integers(1, 40))
def test_no_window_is_ever_overdrawn_and_waiting_is_always_enough(
    gaps: list[float], per_second: float, per_minute: int
) -> None:
    budget, now, sent = Budget(per_second, per_minute), 0.0, []
    for gap in gaps:
        now += gap
        if not budget.free(now):
            now += budget.wait_s(now) + 1e-6
        assert budget.free(now) >= 1
        budget.spend(now)
        sent.append(now)
    burst = max(1, int(per_second))
    for most, length_s in ((burst, burst / per_second), (per_minute, 60.0)):
        for first, beyond in zip(sent, sent[most:], strict=False):
            assert beyond - first >= length_s - 1e-3


def test_what_was_sent_before_a_restart_counts() -> None:
    budget = Budget(1, 20, [100.0 + second for second in range(20)])
    assert budget.free(125.0) == 0
    assert budget.wait_s(125.0) == pytest.approx(35.0)
    assert budget.free(160.5) == 1


def test_what_a_channel_asks_for_holds_for_all_its_messages() -> None:
    patience = Patience()
    assert patience.failed(Answer("later", "429", 429, retry_after_s=35), now_s=100, tries=1) == 35
    assert patience.asked_again_s == 135


def test_one_failure_is_the_message_s_and_several_are_the_channel_s() -> None:
    patience = Patience()
    for _ in range(DEAD_AFTER - 1):
        patience.failed(LATER, now_s=100, tries=1)
    assert (patience.asked_again_s, patience.dead) == (0, False)
    wait_s = patience.failed(LATER, now_s=100, tries=1)
    assert (patience.asked_again_s, patience.dead) == (100 + wait_s, True)
    patience.worked()
    assert (patience.asked_again_s, patience.dead) == (0, False)


def test_waits_double_up_to_a_minute() -> None:
    patience = Patience()
    waits = [patience.failed(LATER, now_s=0, tries=1) for _ in range(20)]
    assert 0.5 <= waits[0] <= 1
    assert all(RETRY_CEILING_S / 2 <= wait <= RETRY_CEILING_S for wait in waits[7:])
    assert all(after >= before / 2 for before, after in pairwise(waits))


def test_settings_that_cannot_work_are_tried_less_often() -> None:
    patience = Patience()
    assert patience.failed(Answer("broken", "401"), now_s=100, tries=1) == MEND_S
    assert patience.asked_again_s == 100 + MEND_S


def test_a_message_that_alone_fails_waits_longer_and_longer_while_others_go() -> None:
    patience, waits = Patience(), []
    for tries in range(1, 11):
        waits.append(patience.failed(LATER, now_s=100, tries=tries))
        assert patience.asked_again_s == 0
        patience.worked()  # another one went
    assert all(wait >= RETRY_CEILING_S / 2 for wait in waits[7:])
