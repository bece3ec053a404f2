"""Why a pair is, or is not, an opportunity: every condition with its value, its threshold and its verdict.

Plain Python, no Django.
"""

from typing import Final, Literal

from msgspec import Struct

Verdict = Literal["pass", "fail", "unknown"]

GATES: Final = (
    "freshness", "status", "sanity", "identity", "fees", "size", "volume", "wallets", "rate",
)  # fmt: skip
"""In the order they are shown. Each has one verdict per direction, `freshness` its two legs in one."""


class Gate(Struct, frozen=True):
    """One condition: `value` and `threshold` for people, with units; `words` says it all in a sentence."""

    name: str
    value: str
    threshold: str
    verdict: Verdict
    words: str
