"""The gates in a collector: asked for one direction at a time, at the moment its edge is worth asking.

Plain Python and numpy, no Django, no clock.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final

from core.names import formats as wording
from engine.gates import checks as gates
from engine.gates import freshness, swaps
from engine.gates.held import shortfall
from engine.scan.directions import Direction
from engine.scan.identity import PASS, SURE, Compared, Identity
from engine.scan.legs import Leg
from engine.scan.returns import MarketMoves
from markets.config import FilterConfig, GateTerms, MarketConfig

MUTE_EVERY_NS: Final = 250_000_000

REASONS: Final = {
    "status": "an exchange does not trade it now",
    "sanity": "a quote is not believed",
    "identity": "not known to be the same coin",
    "fees": "a taker fee is not known for today",
    "volume": "the 24 h volume is too low or unknown",
    "wallets": "no common network is known to be open",
    "rate": "the stablecoin's rate is unknown or off its peg",
}


class Gatekeeper:
    """Says which gate is closed for a direction of one shard.

    `configure` writes `Direction.context`: the verdicts that no quote changes.
    """

    def __init__(self, market: MarketMoves | None = None) -> None:
        self.identity = Identity(market)
        self.terms = GateTerms()
        self._names: dict[str, str] = {}
        self._legs: Collection[Leg] = ()
        self._of_exchange: dict[str, list[Leg]] = {}
        self._mute: frozenset[str] = frozenset()
        self._mute_slot = -1

    def configure(self, config: MarketConfig, directions: Sequence[Direction], legs: Collection[Leg]) -> None:
        """Apply a configuration; `directions` are all those of the scanner, `legs` all of its legs."""
        facts = gates.Facts(config)
        self.terms = config.gates
        self._names = {row.key: row.name for row in config.exchanges}
        self._legs = legs
        self._of_exchange = defaultdict(list)
        self._mute_slot = -1
        for leg in legs:
            self._of_exchange[leg.exchange].append(leg)
        for direction in directions:
            pair, buy, sell = direction.pair, direction.buy.listing, direction.sell.listing
            direction.context = facts.beforehand(pair, buy, sell)
        self.identity.configure(_compared(directions), config)

    def tick(self, now_mono_ns: int, now_ts_us: int) -> None:
        """Gather evidence; to be called a few times a second, a millisecond or two at a time."""
        self.identity.tick(now_mono_ns, now_ts_us)

    def blocked(
        self, direction: Direction, follows: FilterConfig, now_mono_ns: int, *, is_open: bool = False
    ) -> str:
        """Closed gate for a filter, other than the size, or what its net edge lacks; empty: none.

        What is open already is held over a settlement, while funding is unknown for no other reason.
        """
        bits = gates.blocking(self.bits(direction, now_mono_ns, follows, is_open), follows.wallets_open)
        if not bits:
            now, ratio = (direction.us_at(now_mono_ns), now_mono_ns), self.identity.ratio[direction.index]
            legs = (direction.buy, direction.sell)
            if follows.min_net_edge_bps is None or (
                is_open and any(swaps.is_settling(leg, now, self.terms) for leg in legs)
            ):
                return ""
            return shortfall(direction, follows, float(ratio), now, self.terms)
        gate = gates.first(bits)
        if gate == "freshness":
            reason = self._stale(direction, now_mono_ns, follows)
        elif gate == "identity" and self.identity.verdict(direction.index) == PASS:
            reason = (
                f"an edge of {direction.edge_bps():,.1f} bps is not believed before it is proven to be the "
                "same coin"
            )
        elif gate in gates.SWAP_GATES:
            reason = self._swap_reason(gate, direction, now_mono_ns, follows)
        else:
            reason = REASONS[gate]
        return f"{gate}: {reason}"

    def _swap_reason(self, gate: str, direction: Direction, now_mono_ns: int, follows: FilterConfig) -> str:
        now, words = (direction.us_at(now_mono_ns), now_mono_ns), []
        for leg in (direction.buy, direction.sell):
            moved_bps = self._moved_since_mark_bps(leg, now_mono_ns)
            bits = swaps.leg_bits(leg, moved_bps, now, self.terms, follows)
            if gates.verdict_of(bits, gate) != "pass":
                said = swaps.leg_words(gate, leg, moved_bps, now, self.terms)
                words.append(f"{self._names[leg.exchange]} {said}")
        return ", ".join(words)

    def doubts(self, direction: Direction, now_mono_ns: int) -> tuple[str, ...]:
        """The gates, other than the size, that are not known to pass, as `wallets: unknown`."""
        bits = self.bits(direction, now_mono_ns)
        found = ((gate, gates.verdict_of(bits, gate)) for gate in gates.ALL_GATES if bits)
        return tuple(f"{gate}: {verdict}" for gate, verdict in found if verdict != "pass")

    def bits(
        self,
        direction: Direction,
        now_mono_ns: int,
        follows: FilterConfig | None = None,
        is_open: bool = False,
    ) -> int:
        """Every verdict of a direction but that of the size, for a filter that may have limits of its own."""
        bits: int = direction.context
        edge_bps, terms, place = direction.edge_bps(), self.terms, direction.index
        if self.identity.codes[place] != SURE:
            most_bps = gates.most_unproven_bps(terms, follows)
            bits |= gates.identity_bits(self.identity.verdict(place), False, edge_bps, most_bps)
        most_ms = gates.most_age_ms(terms, direction.pair, follows)
        calm_since_ns = now_mono_ns - int(min(most_ms, terms.silent_floor_ms) * 1e6)
        for leg in (direction.buy, direction.sell):
            if leg.swap is not None:
                now = direction.us_at(now_mono_ns), now_mono_ns
                moved_bps = self._moved_since_mark_bps(leg, now_mono_ns)
                bits |= swaps.leg_bits(leg, moved_bps, now, terms, follows, is_open)
            is_calm = leg.received_mono_ns >= calm_since_ns and leg.up and not leg.jumped
            if is_calm and leg.is_plain and leg.bid <= leg.ask:
                continue  # as most are: there is nothing to ask of it
            rate = gates.rate_of(leg, direction.pair.symbol)
            bits |= gates.leg_bits(leg, self.state(leg, now_mono_ns), rate, terms)
            bits |= gates.volume_bits(leg.listing.volume, leg.worth, gates.least_volume(leg.listing, terms))
            if not is_calm and self._is_doubtful(leg, edge_bps, most_ms, now_mono_ns):
                bits |= gates.STALE
        return bits

    def _is_doubtful(self, leg: Leg, edge_bps: float, most_ms: float, now_mono_ns: int) -> bool:
        age_ms, moved_bps = freshness.age_ms(leg, now_mono_ns), self._moved_bps(leg, now_mono_ns)
        doubtful: bool = freshness.is_doubtful(age_ms, moved_bps, edge_bps, most_ms, self.terms)
        return doubtful

    def _moved_since_mark_bps(self, leg: Leg, now_mono_ns: int) -> float:
        """Move of the coin's other legs since a swap's mark price changed."""
        marks = leg.swap.marks if leg.swap is not None else []
        return leg.moved_bps(freshness.quoted_since(now_mono_ns, self.terms), marks)

    def _moved_bps(self, leg: Leg, now_mono_ns: int) -> float:
        return leg.moved_bps(freshness.quoted_since(now_mono_ns, self.terms))

    def state(self, leg: Leg, now_mono_ns: int) -> int:
        """How fresh a leg is, one of `engine.gates.freshness`."""
        overdue = freshness.is_overdue(freshness.age_ms(leg, now_mono_ns), leg.gap_ms, self.terms)
        suspected = overdue and self._is_suspected(leg, now_mono_ns)
        return freshness.state(freshness.is_usable(leg), overdue, suspected)

    def _is_suspected(self, leg: Leg, now_mono_ns: int) -> bool:
        if freshness.talkers(leg.market.legs, leg, now_mono_ns, self.terms):
            return True
        return leg.exchange in self._mute_exchanges(now_mono_ns)

    def _mute_exchanges(self, now_mono_ns: int) -> frozenset[str]:
        """Found once per `MUTE_EVERY_NS`: it asks every leg there is, and in an outage all that runs asks."""
        slot = now_mono_ns // MUTE_EVERY_NS
        if slot != self._mute_slot:
            self._mute_slot = slot
            self._mute = frozenset(
                exchange
                for exchange, legs in self._of_exchange.items()
                if freshness.is_mute(legs, self._legs, now_mono_ns, self.terms)
            )
        return self._mute

    def _stale(self, direction: Direction, now_mono_ns: int, follows: FilterConfig) -> str:
        edge_bps = direction.edge_bps()
        most_ms = gates.most_age_ms(self.terms, direction.pair, follows)
        words = []
        for leg in (direction.buy, direction.sell):
            state, age_ms = self.state(leg, now_mono_ns), freshness.age_ms(leg, now_mono_ns)
            name = self._names[leg.exchange]
            if state > freshness.QUIET:
                words.append(f"{name} is {freshness.STATES[state]}")
            elif age_ms > most_ms:
                words.append(
                    f"the quote of {name} is {wording.seconds(age_ms)} old, over the limit of "
                    f"{wording.seconds(most_ms)}"
                )
            elif self._is_doubtful(leg, edge_bps, most_ms, now_mono_ns):
                moved = f"{self._moved_bps(leg, now_mono_ns):,.1f} bps"
                words.append(f"{name} did not follow when the others moved {moved}")
        return ", ".join(words)


def _compared(directions: Sequence[Direction]) -> list[Compared]:
    """The pairs in the order of their directions' `index`, with their legs."""
    found: dict[int, Compared] = {}
    for direction in directions:
        if direction.index not in found:
            legs = direction.buy, direction.sell
            one, two = legs if direction.buy.exchange == direction.pair.pair.exchange1 else legs[::-1]
            found[direction.index] = Compared(direction.pair, one, two)
    return [found[index] for index in range(len(found))]
