"""VerdictThresholds belongs to the app `opportunities` from here on: its table stays as it is (opportunities 0001)."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("history", "0002_verdict_thresholds"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.DeleteModel(name="VerdictThresholds")],
        ),
    ]
