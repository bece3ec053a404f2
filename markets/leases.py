"""The rows of the collectors' leases (see collectors.lease)."""

from django.db import models


class ShardLease(models.Model):
    """Lease of a shard. Rows are never deleted, so that tokens rise; written by collectors only."""

    shard = models.CharField(primary_key=True, max_length=32)
    token = models.PositiveBigIntegerField(default=0)
    beat = models.PositiveBigIntegerField(default=0)
    holder = models.CharField(max_length=255, blank=True)  # in words; empty: released
    place = models.CharField(max_length=255, blank=True)  # where to check whether it lives

    class Meta:
        default_permissions = ()  # nobody's but the collectors'

    def __str__(self) -> str:
        return f"{self.shard}: {self.token}"
