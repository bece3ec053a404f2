"""Managers whose bulk writes are recorded like the single ones, of which Django sends signals by itself."""

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db import models, transaction

from audit.recording import gathered
from audit.signals import added, changing

M = TypeVar("M", bound=models.Model)


class AuditedQuerySet(models.QuerySet[M]):
    """A query set that leaves no bulk write unrecorded."""

    def update(self, **kwargs: Any) -> int:
        """Do as Django does, recorded in the same transaction."""
        with transaction.atomic(using=self.db), changing(self, kwargs):
            return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> list[M]:
        """Do as Django does, recorded in the same transaction."""
        with transaction.atomic(using=self.db):
            made = super().bulk_create(objs, *args, **kwargs)
            added(self.model, [row for row in made if row.pk is not None])
            return made

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete as Django does; rows that go with it are recorded together."""
        with transaction.atomic(using=self.db), gathered():
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


class AuditedManager(models.Manager[M]):
    """The manager of an audited model."""

    def get_queryset(self) -> AuditedQuerySet[M]:
        """Rows whose bulk writes are recorded."""
        return AuditedQuerySet(self.model, using=self._db)
