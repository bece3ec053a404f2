"""Opportunities that the collectors found, a row each, and the thresholds of a pair's verdict."""

import datetime
from typing import Any

import msgspec
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core.names.chart_ids import chart_id_of
from core.names.plain_fields import LinesField, NameField
from markets.events import Moment
from markets.models import OpportunityFilter


def _of_depth(name: Any) -> models.FloatField:  # type: ignore[type-arg]  # no generic at run time
    return models.FloatField(
        name, null=True, help_text=_("At the peak, by both order books. Empty: they were not known.")
    )


class OpportunityEpisode(models.Model):
    """One excursion of one direction of a pair above one filter's threshold; see docs/opportunities.md.

    Written by `opportunities.sink` only. It names exchanges, symbol and filter in plain text, too, so
    that history survives what the operator deletes. `at_open`, `at_peak` and `at_close` hold a
    `markets.events.Moment` each: both best prices of both legs.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    filter = models.ForeignKey(
        OpportunityFilter, models.SET_NULL, null=True, related_name="episodes", verbose_name=_("filter"),
        help_text=_("Empty: the filter was deleted."),
    )  # fmt: skip
    filter_name = NameField(_("filter name"), max_length=64)
    symbol = NameField(_("symbol"), max_length=64)
    exchange1 = models.CharField(_("exchange 1"), max_length=32)
    exchange2 = models.CharField(_("exchange 2"), max_length=32)
    buy_on = models.CharField(_("buy on"), max_length=32)
    sell_on = models.CharField(_("sell on"), max_length=32)
    started_at = models.DateTimeField(_("began"), help_text=_("When the edge reached the filter's minimum."))
    seen_at = models.DateTimeField(_("last seen"), help_text=_("When a collector last confirmed it."))
    closed_at = models.DateTimeField(_("closed"), null=True, help_text=_("Empty: it is open."))
    duration_ms = models.BigIntegerField(_("duration, ms"), null=True)
    open_edge_bps = models.FloatField(_("edge at open, bps"))
    peak_edge_bps = models.FloatField(_("peak edge, bps"))
    mean_edge_bps = models.FloatField(_("mean edge, bps"), help_text=_("Weighted by time."))
    close_edge_bps = models.FloatField(
        _("edge at close, bps"), null=True, help_text=_("Empty: a leg had no quote, or it is open.")
    )
    open_size = models.FloatField(_("size at open"), help_text=_("Executable, in quote currency."))
    peak_size = models.FloatField(_("size at peak"), help_text=_("Executable, in quote currency."))
    peak_profit_100 = _of_depth(_("profit at 100 USDT"))
    peak_profit_1000 = _of_depth(_("profit at 1,000 USDT"))
    peak_profit_10000 = _of_depth(_("profit at 10,000 USDT"))
    peak_best_size = _of_depth(_("best size, USDT"))
    peak_best_profit = _of_depth(_("profit at the best size, USDT"))
    peak_my_edge_bps = _of_depth(_("edge at the filter's size, bps"))
    peak_my_profit = _of_depth(_("profit at the filter's size, USDT"))
    at_open = models.JSONField(_("both legs at open"))
    at_peak = models.JSONField(_("both legs at peak"))
    at_close = models.JSONField(_("both legs at close"), null=True)
    gates = models.JSONField(
        _("unproven gate checks"),
        default=list,
        help_text=_("Gate checks that were not known to pass at the opening."),
    )
    reason = LinesField(_("reason for the close"), blank=True)
    move = models.UUIDField(
        _("move"),
        null=True,
        help_text=_(
            "Shared by the routes that opened together because one exchange moved. Empty: not known."
        ),
    )
    moved_on = models.CharField(
        _("moved on"), max_length=32, blank=True, help_text=_("The exchange that moved. Empty: not known.")
    )
    moved_side = models.CharField(
        _("side that moved"), max_length=4, blank=True, choices=[("buy", _("buy")), ("sell", _("sell"))],
        help_text=_("Whether the routes buy or sell on the exchange that moved."),
    )  # fmt: skip

    class Meta:
        db_table = "realtime_opportunityepisode"  # where it was before opportunities had an app
        verbose_name = _("opportunity")
        verbose_name_plural = _("opportunities")
        ordering = ("-started_at", "id")
        indexes = [
            # Newest first, and what a period holds per pair, out of the index alone.
            models.Index(
                fields=["-started_at"], include=["symbol", "exchange1", "exchange2"], name="episode_newest"
            ),
            models.Index(fields=["symbol", "exchange1", "exchange2", "-started_at"], name="episode_of_pair"),
            # PostgreSQL sorts nulls first here: what is open, then what closed last.
            models.Index(fields=["-closed_at", "-started_at"], name="episode_open_first"),
            models.Index(fields=["move", "-started_at"], name="episode_of_move"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(closed_at__isnull=True, duration_ms__isnull=True)
                | models.Q(closed_at__isnull=False, duration_ms__gte=0),
                name="episode_closed_has_duration",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.buy_on} → {self.sell_on} {self.started_at:%Y-%m-%d %H:%M:%S}"

    @property
    def opened(self) -> Moment:
        """Both legs when it opened."""
        return msgspec.convert(self.at_open, Moment)

    @property
    def peak(self) -> Moment:
        """Both legs when the edge was highest."""
        return msgspec.convert(self.at_peak, Moment)

    @property
    def closed(self) -> Moment | None:
        """Both legs when it closed; None while open, or where a leg was gone."""
        return msgspec.convert(self.at_close, Moment | None)

    @property
    def pair_id(self) -> str:
        """The chart's id: `BTC/USDT|binance|bybit`."""
        return chart_id_of(self.symbol, self.exchange1, self.exchange2)

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.closed_at is None

    @property
    def duration(self) -> datetime.timedelta | None:
        """Time from the start to the close; None while open."""
        return None if self.duration_ms is None else datetime.timedelta(milliseconds=self.duration_ms)


def _share(most: float) -> list[MinValueValidator | MaxValueValidator]:
    return [MinValueValidator(0), MaxValueValidator(most)]


class VerdictThresholds(models.Model):
    """Thresholds of the verdict on a pair, one row; fields as `engine.deviation.DeviationTerms`."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    neutral_pct = models.FloatField(
        _("neutral below, %"), default=0.1, validators=_share(100),
        help_text=_("|Deviation| below this is the neutral zone, where a cycle begins and ends."),
    )  # fmt: skip
    cycle_pct = models.FloatField(
        _("a cycle goes beyond, %"), default=0.4, validators=_share(100),
        help_text=_("A cycle is complete when |deviation| went beyond this and came back to neutral."),
    )  # fmt: skip
    event_pct = models.FloatField(
        _("an event is at least, %"), default=0.3, validators=_share(100),
        help_text=_("An event is one stay of |deviation| at or above this; time above counts from here."),
    )  # fmt: skip
    trending_below_crossings_per_minute = models.FloatField(
        _("trending below, crossings per minute"), default=1, validators=_share(10_000)
    )
    never_closes_above_time_pct = models.FloatField(
        _("never closes above, % of the time"), default=50, validators=_share(100)
    )
    biased_above_asymmetry = models.FloatField(
        _("biased above, |asymmetry|"), default=1, validators=_share(1_000),
        help_text=_("Of the deviation or of the spread itself; that of the deviation cannot pass 1."),
    )  # fmt: skip
    excellent_above_crossings_per_minute = models.FloatField(
        _("excellent above, crossings per minute"), default=5, validators=_share(10_000)
    )
    excellent_above_events_per_hour = models.FloatField(
        _("excellent above, events per hour"), default=100, validators=_share(1_000_000)
    )
    excellent_above_mean_peak_pct = models.FloatField(
        _("excellent above, mean peak, %"), default=0.5, validators=_share(100)
    )
    excellent_above_big_peaks_pct = models.FloatField(
        _("excellent above, % of peaks that are big"), default=20, validators=_share(100)
    )
    big_peak_pct = models.FloatField(_("a peak is big above, %"), default=0.5, validators=_share(100))

    class Meta:
        db_table = "history_verdictthresholds"  # where it was before opportunities had an app
        verbose_name = _("verdict thresholds")
        verbose_name_plural = _("verdict thresholds")
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="one_verdict_thresholds"),
            models.CheckConstraint(
                condition=Q(neutral_pct__lt=models.F("cycle_pct")), name="verdict_neutral_below_cycle"
            ),
        ]

    def __str__(self) -> str:
        return str(_("verdict thresholds"))
