"""OpportunityEpisode belongs to the app `opportunities` from here on: its table stays as it is (opportunities 0001)."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("realtime", "0005_api_tokens_and_rights"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.DeleteModel(name="OpportunityEpisode")],
        ),
    ]
