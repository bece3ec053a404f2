"""Legs and charts of a configuration, and which charts the quotes of an instrument touch. Pure."""

from engine.charts.bands import RollingBands
from engine.charts.legs import Chart, Leg
from engine.charts.pairing import Charts, Legs, Routes
from engine.charts.rings import PointRing
from markets.config import MarketConfig, Opportunity
from markets.fees.book import Fees
from markets.selection import listed

LegKey = tuple[str, str]  # exchange, symbol


def check(config: MarketConfig) -> None:
    """Raise ValueError if an opportunity or instrument names an exchange that is not there."""
    known = {e.key for e in config.exchanges}
    named = {i.exchange for i in config.instruments}
    named.update(e for o in config.opportunities for e in (o.exchange1, o.exchange2))
    if missing := sorted(named - known):
        raise ValueError(
            f"configuration revision {config.revision} uses exchanges it does not describe: "
            f"{', '.join(missing)}; add them to `exchanges`"
        )


class Wiring:
    """Legs and charts, as objects and as the columns that pairing works on; new columns per configuration."""

    def __init__(self, window_points: int) -> None:
        self._window_points = window_points
        self.legs: dict[LegKey, Leg] = {}
        self.converted: list[Leg] = []
        self.charts: dict[str, Chart] = {}
        self.by_row: list[Chart] = []
        self.rows = Charts(0)
        self.held = Legs(0)
        self.routes = Routes(self.rows, 0)

    def take_unwanted(self, config: MarketConfig) -> list[Chart]:
        """Forget the charts that a configuration no longer has; returns them, their rows still there."""
        wanted = {o.id for o in config.opportunities}
        return [self.charts.pop(id) for id in self.charts.keys() - wanted]

    def configure(self, config: MarketConfig) -> None:
        """Follow a configuration; legs and charts that stay are the same objects."""
        names, fees = self._set_legs(config), Fees(config)
        for opportunity in config.opportunities:
            sides = opportunity.exchange1, opportunity.exchange2
            legs = [self.legs[names[exchange, opportunity.symbol]] for exchange in sides]
            self._set_chart(opportunity, legs, fees)
        self._route()

    def _set_legs(self, config: MarketConfig) -> dict[LegKey, LegKey]:
        """Returns under which instrument the leg of a chart, by exchange and symbol, is quoted."""
        exchanges = {e.key: e for e in config.exchanges}
        market = listed(config)
        quoted = {
            (exchange, o.symbol): market.get(o.symbol, {}).get(exchange)
            for o in config.opportunities
            for exchange in (o.exchange1, o.exchange2)
        }
        names = {key: (key[0], listing.symbol) if listing else key for key, listing in quoted.items()}
        wanted = {(i.exchange, i.symbol) for i in config.instruments} | set(names.values())
        self.legs = {key: self.legs.get(key) or Leg(key[0]) for key in wanted}
        for leg in self.legs.values():
            leg.name = exchanges[leg.exchange].name
            leg.enable(exchanges[leg.exchange].enabled)
        for key, listing in quoted.items():
            if listing:
                self.legs[names[key]].follow(listing)
        self.converted = [leg for leg in self.legs.values() if leg.needs]
        return names

    def _set_chart(self, opportunity: Opportunity, legs: list[Leg], fees: Fees) -> None:
        chart = self.charts.get(opportunity.id)
        if chart is None:
            chart = self.charts[opportunity.id] = Chart(PointRing(self._window_points))
        chart.leg1, chart.leg2 = legs
        if chart.compared != (compared := [leg.terms for leg in legs]):
            chart.compared, chart.bands = compared, RollingBands()
        sides = opportunity.exchange1, opportunity.exchange2
        chart.set_terms(opportunity, *(fees.taker(key, opportunity.symbol) for key in sides))

    def _route(self) -> None:
        """Rebuild the index from an instrument to the charts its quotes touch."""
        for leg in self.legs.values():
            leg.charts, leg.index = [], -1
        known, self.rows = self.rows, Charts(len(self.charts))
        self.by_row = list(self.charts.values())
        legs: list[Leg] = []
        for row, chart in enumerate(self.by_row):
            if chart.index >= 0:
                self.rows.adopt(row, known, chart.index)
            chart.index = row
            self.rows.tolerance_ns[row], self.rows.factors[:, row] = chart.tolerance_ns, chart.factors
            for side, leg in enumerate((chart.leg1, chart.leg2)):
                if leg.index < 0:
                    leg.index = len(legs)
                    legs.append(leg)
                leg.charts.append(chart)
                self.rows.legs[side, row] = leg.index
        self.routes = Routes(self.rows, len(legs))
        self.held = Legs(len(legs))
        for leg in legs:
            self.held.hold(leg.index, leg.usable)
