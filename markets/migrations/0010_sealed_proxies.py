"""The proxies of exchanges that have credentials are sealed."""

import markets.models
import markets.sealed_proxy
from django.db import migrations, models
from django.db.models import Value


def seal(apps, schema_editor):
    for row in apps.get_model("markets", "Exchange").objects.filter(proxy__contains="@"):
        row.save(update_fields=["proxy"])


def open_again(apps, schema_editor):
    exchanges = apps.get_model("markets", "Exchange").objects
    for row in exchanges.exclude(proxy=""):
        plain = "" if row.proxy.startswith("sealed:") else row.proxy
        exchanges.filter(pk=row.pk).update(proxy=Value(plain, output_field=models.CharField()))


class Migration(migrations.Migration):
    dependencies = [("markets", "0009_identity_follows")]

    operations = [
        migrations.AlterField(
            model_name="exchange",
            name="proxy",
            field=markets.sealed_proxy.SealedProxyField(blank=True, help_text="The way out to this exchange, for its sockets, tokens, catalogue and wallets: http://host:port or socks5://user:password@host:port. “direct”: none, whatever OUTBOUND_PROXY says. Empty: as OUTBOUND_PROXY says. Credentials are never shown again.", max_length=300, validators=[markets.models.validate_proxy], verbose_name="proxy"),
        ),
        migrations.RunPython(seal, open_again),
    ]
