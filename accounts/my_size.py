"""Size that a user trades with: what pages say of depth is of it, where a view names no other."""

from decimal import Decimal
from typing import Any, ClassVar, Final

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

LEAST: Final = Decimal("0.01")
MOST: Final = Decimal(1_000_000_000)


class MySize(models.Model):
    """The size of one user, worth so many USDT; who has none has no row."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="my_size", verbose_name=_("user"),
        editable=False,
    )  # fmt: skip
    size = models.DecimalField(_("my size"), max_digits=12, decimal_places=2)

    objects: ClassVar[models.Manager["MySize"]] = models.Manager()

    class Meta:
        verbose_name = _("size of a user")
        verbose_name_plural = _("sizes of users")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.size} USDT"


def my_size(user: Any) -> float | None:
    """Return a user's size in USDT; None: they have none."""
    size = MySize.objects.filter(user_id=user.pk).values_list("size", flat=True).first()
    return None if size is None else float(size)
