"""Books that a process follows, and those its budget has no room for."""

from hypothesis import given
from hypothesis import strategies as st

from collectors.books.choice import Choice
from markets.config import DepthConfig
from tests.support.exchanges.tiny_exchange import instruments, symbol

NAMES = "abcdefgh"


def keys(names: str) -> tuple[tuple[str, str], ...]:
    return tuple(("tiny", symbol(name)) for name in names)


def choice(config: DepthConfig, collected: str = NAMES) -> Choice:
    chosen = Choice()
    chosen.configure(config, [instruments(*collected)])
    return chosen


def followed(by: Choice, ranked: str, now_s: float) -> str:
    return "".join(each.native_id for each in by.choose(keys(ranked), now_s).followed)


def test_by_hand_in_their_order() -> None:
    assert followed(choice(DepthConfig(keys("ba"))), "cd", 0.0) == "ba"


def test_only_what_is_collected() -> None:
    assert followed(choice(DepthConfig(keys("ax")), "ab"), "", 0.0) == "a"


def test_the_best_routes_of_the_scanner_where_the_rule_asks() -> None:
    by = choice(DepthConfig(top=2))
    assert followed(by, "abcdef", 0.0) == "abcd"


def test_a_leg_that_was_among_the_best_stays_for_a_while() -> None:
    by = choice(DepthConfig(top=1, stay_s=60.0))
    assert followed(by, "ab", 0.0) == "ab"
    assert sorted(followed(by, "cd", 30.0)) == list("abcd")
    assert followed(by, "cd", 61.0) == "cd"


def test_one_that_flaps_is_not_followed_twice() -> None:
    by = choice(DepthConfig(top=1, stay_s=60.0))
    seen = {followed(by, "ab" if second % 2 else "cd", float(second)) for second in range(2, 50)}
    assert {"".join(sorted(each)) for each in seen} <= {"cd", "abcd"}


def test_what_does_not_fit_is_refused_the_least_important_first() -> None:
    by = choice(DepthConfig(keys("ab"), top=1, most=3))
    chosen = by.choose(keys("cd"), 0.0)
    assert [each.native_id for each in chosen.followed] == ["a", "b", "c"]
    assert [each.native_id for each in chosen.refused] == ["d"]


def test_no_rule_no_memory() -> None:
    by = choice(DepthConfig(top=1))
    followed(by, "ab", 0.0)
    by.configure(DepthConfig(), [instruments(*NAMES)])
    assert followed(by, "ab", 1.0) == ""


@given(
    by_hand=st.lists(st.sampled_from(NAMES), unique=True),
    top=st.integers(0, 4),
    most=st.integers(0, 6),
    ranked=st.lists(st.lists(st.sampled_from(NAMES), unique=True), max_size=5),
)
def test_never_more_than_the_budget_and_nothing_twice(
    by_hand: list[str], top: int, most: int, ranked: list[list[str]]
) -> None:
    by = choice(DepthConfig(keys("".join(by_hand)), top=top, most=most))
    for now, best in enumerate(ranked):
        chosen = by.choose(keys("".join(best)), float(now))
        every = [*chosen.followed, *chosen.refused]
        assert len(chosen.followed) <= most
        assert len(set(every)) == len(every)
        assert [each.native_id for each in every][: len(by_hand)] == by_hand
