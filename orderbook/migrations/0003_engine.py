"""TimescaleDB keeps the store where the database has it and the store has no rows yet."""

import logging

from django.core.management import CommandError
from django.db import migrations

from orderbook.store.choice import choose, switch, timescale_is_possible
from orderbook.store.engine import HOW_TO_SWITCH, StoreError
from orderbook.store.plain import PlainEngine

logger = logging.getLogger(__name__)


def _choose(_apps, schema_editor):
    connection = schema_editor.connection.connection
    try:
        kept_by = choose(connection).name
        if kept_by == "plain" and timescale_is_possible(connection):
            logger.warning("the store has rows and stays on plain PostgreSQL; %s", HOW_TO_SWITCH)
    except StoreError as refused:
        raise CommandError(str(refused)) from None


def _plain(_apps, schema_editor):
    connection = schema_editor.connection.connection
    try:
        switch(connection, PlainEngine())
    except StoreError as refused:
        raise CommandError(str(refused)) from None


class Migration(migrations.Migration):

    dependencies = [
        ('orderbook', '0002_store_settings'),
    ]

    operations = [
        migrations.RunPython(_choose, _plain),
    ]
