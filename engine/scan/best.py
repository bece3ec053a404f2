"""The scanner's best routes. Pure."""

from collections.abc import Iterable
from heapq import nlargest

from engine.scan.directions import Direction


def best_legs(directions: Iterable[Direction], top: int, most_bps: float) -> list[tuple[str, str]]:
    """Return market key and symbol of both legs of the routes with the highest edge, the best first.

    An edge above `most_bps` is not plausible: most often it is of two coins with one name.
    """
    edges = ((direction.edge_bps(), number, direction) for number, direction in enumerate(directions))
    best = nlargest(top, (each for each in edges if each[0] <= most_bps))  # NaN is not
    return [
        (leg.listing.exchange, leg.listing.symbol)
        for _edge, _number, direction in best
        for leg in (direction.buy, direction.sell)
    ]
