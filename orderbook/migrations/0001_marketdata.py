"""The schema `marketdata` beside Django's own tables, and how long it keeps what it has."""

import django.core.validators
from django.core.management import CommandError
from django.db import migrations, models

from psycopg.errors import InsufficientPrivilege

from orderbook.store.plain import PlainEngine


def _create(_apps, schema_editor):
    try:
        PlainEngine().create(schema_editor.connection.connection)
    except InsufficientPrivilege as refused:
        raise CommandError(
            f"the desk's role may not make the schema marketdata ({refused}): run "
            "deploy/postgres/application.sql again as the superuser, as docs/security.md says"
        ) from None


def _drop(_apps, schema_editor):
    schema_editor.execute("DROP SCHEMA marketdata CASCADE")


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='StoreSettings',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ('raw_days', models.PositiveIntegerField(default=30, help_text='Older quotes, trades and books are deleted by the hour.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(3650)], verbose_name='days of rows kept')),
                ('rollup_days', models.PositiveIntegerField(default=90, help_text='Older second bars are deleted by the day; at least as long as the rows.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(3650)], verbose_name='days of second bars kept')),
            ],
            options={
                'verbose_name': 'store settings',
                'verbose_name_plural': 'store settings',
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='one_store_settings')],
            },
        ),
        migrations.RunPython(_create, _drop),
    ]
