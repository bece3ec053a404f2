"""The configuration's revision, and the models whose every change moves it."""

from collections.abc import Iterable
from functools import partial
from typing import Any, TypeVar

from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from audit.querysets import AuditedQuerySet
from markets.follow.runtime import publish_revision

M = TypeVar("M", bound=models.Model)


class ConfigRevision(models.Model):
    """Number of changes of the configuration, in one row. Collectors reload when it moves."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    number = models.PositiveBigIntegerField(_("revision"), default=0)
    changed_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        verbose_name = _("configuration revision")
        verbose_name_plural = _("configuration revisions")
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="one_config_revision"),
        ]

    def __str__(self) -> str:
        return str(self.number)


def lock_revision() -> ConfigRevision:
    """The revision row, locked until the transaction ends; made when missing.

    Every writer of configuration takes this lock before its rows, so that writers queue in one
    order and cannot deadlock.
    """
    return ConfigRevision.objects.select_for_update().get_or_create(pk=1)[0]


def bump_revision() -> int:
    """Move the revision within the caller's transaction, nudge collectors on commit, return the number."""
    with transaction.atomic():
        row = lock_revision()
        row.number += 1
        row.save(update_fields=["number", "changed_at"])
        transaction.on_commit(partial(publish_revision, row.number))
    return row.number


class ConfigQuerySet(AuditedQuerySet[M]):
    """A query set whose bulk writes move the revision too."""

    def update(self, **kwargs: Any) -> int:
        """Do as Django does, and move the revision in the same transaction."""
        with transaction.atomic():
            bump_revision()
            return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> list[M]:
        """Do as Django does, and move the revision in the same transaction."""
        with transaction.atomic():
            bump_revision()
            return super().bulk_create(objs, *args, **kwargs)

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Do as Django does, and move the revision in the same transaction."""
        with transaction.atomic():
            bump_revision()
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


class ConfigManager(models.Manager[M]):
    """The manager of every configuration model."""

    def get_queryset(self) -> ConfigQuerySet[M]:
        """Rows whose bulk writes move the revision."""
        return ConfigQuerySet(self.model, using=self._db)


class ConfigModel(models.Model):
    """A model collectors depend on: saving or deleting a row moves the revision in the same transaction."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save and move the revision."""
        with transaction.atomic():
            bump_revision()
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete and move the revision."""
        with transaction.atomic():
            bump_revision()
            return super().delete(*args, **kwargs)
