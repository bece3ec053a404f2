"""Evidence that two listings are one coin, in words: what speaks for it, and what is wanted.

How it is gathered is in `engine.scan.identity`. Plain Python, no Django.
"""

from math import isnan
from typing import Final

from msgspec import Struct

from core.names import formats as wording
from engine.scan.identity import FAIL, PASS, PREMIUM
from markets.config import GateTerms

PROVES: Final = "enough moves must agree, or an operator must confirm it in the admin under coin identities"
DECIDED: Final = {
    "confirmed": "confirmed by an operator as the same coin",
    "different": "an operator decided that these are different coins",
}


def wanted(terms: GateTerms, most_bps: float) -> str:
    """Conditions under which two listings count as one coin; above an edge of `most_bps` only as proven."""
    return (
        f"prices within {wording.share(terms.identity_near_pct)} %, or enough moves that agree; never more "
        f"than {wording.share(terms.identity_max_ratio)} times apart; correlation at least "
        f"{wording.share(terms.identity_min_correlation)}; proven the same for an edge above "
        f"{wording.share(most_bps)} bps"
    )


class Evidence(Struct, frozen=True):
    """Evidence of a pair's identity: the verdict's code, what speaks for it, and its author."""

    code: int
    ratio: float
    correlation: float
    decided: str = ""  # a person's verdict, see markets.config.IdentityVerdict
    proven: bool = False
    fund: str = ""  # the coin it follows, where it is a fund token

    def figures(self) -> str:
        """Put into words what was measured; empty when nothing was."""
        parts = [] if isnan(self.ratio) else [f"price ratio {wording.ratio(self.ratio)}"]
        if not isnan(self.correlation):
            parts.append(f"correlation {self.correlation:z.2f}")
        return ", ".join(parts)

    def words(self, coins: str, terms: GateTerms) -> str:
        """The verdict, and what would change it; `coins` as in `BTC on OKX and on Gate`."""
        if self.decided in DECIDED:
            return DECIDED[self.decided]
        if self.fund and not self.decided:
            return (
                f"a fund token that follows {self.fund}: each exchange makes its own, so they differ unless "
                "an operator confirms them in the admin under coin identities"
            )
        if self.decided == "quarantined" or self.code == FAIL:
            return (
                f"in quarantine: {coins} may be different coins; decide it in the admin under coin identities"
            )
        if self.code == PASS:
            return "proven by moves that agree" if self.proven else "nothing speaks against the same coin"
        return "not compared yet" if isnan(self.ratio) else self._apart(coins, terms)

    def _apart(self, coins: str, terms: GateTerms) -> str:
        apart = max(self.ratio, 1 / self.ratio) - 1
        before = " and were further apart before" if apart * 100 <= terms.identity_near_pct else ""
        meet = "they must meet again, and " if apart > PREMIUM else ""
        return f"not proven: the prices of {coins} are {apart * 100:,.1f} % apart{before}; {meet}{PROVES}"

    def unproven_words(self, coins: str, edge_bps: float, most_bps: float) -> str:
        """Why an edge is too large for coins against which nothing else speaks."""
        return (
            f"the edge is {edge_bps:,.1f} bps, over the limit of {wording.share(most_bps)} bps for coins not "
            f"proven the same; for {coins}, {PROVES}"
        )
