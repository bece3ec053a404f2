"""Bind each channel's secret to the destination the channel has now."""

from django.db import migrations

from core.secrets.sealing import UnreadableSecret, opened, sealed_plainly, unseal
from monitoring.alerts.secrets import PURPOSE, destination, seal


def bind(apps, schema_editor):
    for row in apps.get_model("monitoring", "AlertChannel").objects.exclude(sealed_secret=""):  # nosec B106 # those without one
        try:
            secret = opened(row.sealed_secret, PURPOSE).decode()
        except UnreadableSecret:
            continue  # under another SECRET_KEY: its page says so, as before
        row.sealed_secret = seal(secret, destination(row.kind, row.settings))
        row.save(update_fields=["sealed_secret"])


def release(apps, schema_editor):
    for row in apps.get_model("monitoring", "AlertChannel").objects.exclude(sealed_secret=""):  # nosec B106 # those without one
        try:
            secret = unseal(row.sealed_secret, PURPOSE, destination(row.kind, row.settings))
        except UnreadableSecret:
            continue
        row.sealed_secret = sealed_plainly(secret, PURPOSE)
        row.save(update_fields=["sealed_secret"])


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0006_alert_min_size_in_reference")]

    operations = [migrations.RunPython(bind, release)]
