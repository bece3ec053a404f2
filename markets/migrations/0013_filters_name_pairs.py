"""Filters remember that pairs were chosen for them."""

from typing import Any

from django.db import migrations, models


def note_pairs(apps: Any, _schema_editor: Any) -> None:
    """Those that name pairs now."""
    filters = apps.get_model("markets", "OpportunityFilter").objects
    filters.filter(pk__in=filters.exclude(pairs=None).values("pk")).update(names_pairs=True)


class Migration(migrations.Migration):
    dependencies = [
        ("markets", "0012_shard_leases"),
    ]

    operations = [
        migrations.AddField(
            model_name="opportunityfilter",
            name="names_pairs",
            field=models.BooleanField(default=False, editable=False, help_text="Whether pairs were chosen. When all of those are deleted, it selects none, not every."),
        ),
        migrations.RunPython(note_pairs, migrations.RunPython.noop),
    ]
