"""Rules by which order books are followed, and the budget."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from markets.config import DepthConfig
from markets.follow.revision import ConfigManager, ConfigModel
from markets.models.checks import limits

_DEFAULT = DepthConfig()


class DepthSettings(ConfigModel):
    """The rule "top of the scanner" and the budget, one row; fields as `markets.config.DepthConfig`."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    top = models.PositiveIntegerField(
        _("best routes of the scanner"), default=_DEFAULT.top, validators=limits(0, 200),
        help_text=_("The books of both legs of so many routes with the highest edge are followed, whatever "
                    "filters choose. 0: none."),
    )  # fmt: skip
    stay_s = models.FloatField(
        _("a book stays for, s"), default=_DEFAULT.stay_s, validators=limits(10, 86_400),
        help_text=_("For so long after its route was among the best the last time."),
    )  # fmt: skip
    most = models.PositiveIntegerField(
        _("books per collector, at most"), default=_DEFAULT.most, validators=limits(0, 1000),
        help_text=_("Books beyond it are refused: pinned ones go first, then those of filters, then the "
                    "best routes."),
    )  # fmt: skip

    objects = ConfigManager()

    class Meta:
        verbose_name = _("order book settings")
        verbose_name_plural = _("order book settings")
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_depth_settings")]

    def __str__(self) -> str:
        return str(_("order book settings"))
