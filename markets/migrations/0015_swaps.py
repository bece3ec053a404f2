"""Perpetual swaps: legs of pairs are markets of exchanges; what was there is spot."""

from typing import Any

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.comparison
import markets.models.checks
import markets.models.filters
from django.conf import settings
from django.db import migrations, models


def of_unknown_size(apps: Any, _schema_editor: Any) -> None:
    """Swaps that somebody entered before their contract size was read."""
    instruments = apps.get_model("markets", "Instrument")._base_manager
    instruments.exclude(kind="spot").update(not_followed="its contract size is not known")


class Migration(migrations.Migration):

    dependencies = [
        ('markets', '0014_plain_texts'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='cataloguesync',
            options={'ordering': ['exchange__key', 'market'], 'verbose_name': 'catalogue sync', 'verbose_name_plural': 'catalogue syncs'},
        ),
        migrations.AlterModelOptions(
            name='exchangepair',
            options={'ordering': ['exchange1__key', 'exchange2__key', 'market1', 'market2'], 'verbose_name': 'exchange pair', 'verbose_name_plural': 'exchange pairs'},
        ),
        migrations.AlterModelOptions(
            name='feeschedule',
            options={'ordering': ['exchange__key', 'market', 'tier', 'symbols', '-valid_from'], 'verbose_name': 'fee schedule', 'verbose_name_plural': 'fee schedules'},
        ),
        migrations.AlterModelOptions(
            name='identitycase',
            options={'ordering': ['symbol__name', 'exchange1__key', 'exchange2__key', 'market1', 'market2'], 'verbose_name': 'coin identity', 'verbose_name_plural': 'coin identities'},
        ),
        migrations.RemoveConstraint(
            model_name='exchangepair',
            name='pair_unordered_unique',
        ),
        migrations.RemoveConstraint(
            model_name='exchangepair',
            name='pair_distinct_exchanges',
        ),
        migrations.RemoveConstraint(
            model_name='feeschedule',
            name='fees_one_per_tier_and_day',
        ),
        migrations.RemoveConstraint(
            model_name='identitycase',
            name='identity_distinct_exchanges',
        ),
        migrations.RemoveConstraint(
            model_name='identitycase',
            name='identity_one_case_per_pair',
        ),
        migrations.AddField(
            model_name='cataloguesync',
            name='market',
            field=models.CharField(choices=[('spot', 'spot'), ('swap', 'swap')], db_default='spot', default='spot', max_length=8, verbose_name='market'),
        ),
        migrations.AddField(
            model_name='exchange',
            name='swap_maker_fee_bps',
            field=models.DecimalField(blank=True, decimal_places=3, help_text='Negative when the exchange pays you a rebate.', max_digits=6, null=True, validators=[django.core.validators.MinValueValidator(-50), django.core.validators.MaxValueValidator(200)], verbose_name='maker fee of swaps, bps'),
        ),
        migrations.AddField(
            model_name='exchange',
            name='swap_rest_url',
            field=models.CharField(blank=True, help_text='As the REST base URL, for perpetual swaps. Empty: the exchange itself, unless the REST base URL replaces it: then its swaps are not followed.', max_length=200, validators=[markets.models.checks.validate_rest_url], verbose_name='REST base URL of swaps'),
        ),
        migrations.AddField(
            model_name='exchange',
            name='swap_taker_fee_bps',
            field=models.DecimalField(blank=True, decimal_places=3, help_text='Of perpetual swaps. Empty: unknown, and no edge with a swap of this exchange counts.', max_digits=6, null=True, validators=[django.core.validators.MinValueValidator(-50), django.core.validators.MaxValueValidator(200)], verbose_name='taker fee of swaps, bps'),
        ),
        migrations.AddField(
            model_name='exchange',
            name='swap_ws_url',
            field=models.CharField(blank=True, help_text='As the WebSocket base URL, for perpetual swaps. Empty: the exchange itself, unless the WebSocket base URL replaces it: then its swaps are not followed.', max_length=200, validators=[markets.models.checks.validate_ws_url], verbose_name='WebSocket base URL of swaps'),
        ),
        migrations.AddField(
            model_name='exchangepair',
            name='market1',
            field=models.CharField(choices=[('spot', 'spot'), ('swap', 'swap')], db_default='spot', default='spot', max_length=8, verbose_name='market 1'),
        ),
        migrations.AddField(
            model_name='exchangepair',
            name='market2',
            field=models.CharField(choices=[('spot', 'spot'), ('swap', 'swap')], db_default='spot', default='spot', max_length=8, verbose_name='market 2'),
        ),
        migrations.AddField(
            model_name='feeschedule',
            name='market',
            field=models.CharField(choices=[('spot', 'spot'), ('swap', 'swap')], db_default='spot', default='spot', max_length=8, verbose_name='market'),
        ),
        migrations.AddField(
            model_name='identitycase',
            name='market1',
            field=models.CharField(choices=[('spot', 'spot'), ('swap', 'swap')], db_default='spot', default='spot', max_length=8, verbose_name='market 1'),
        ),
        migrations.AddField(
            model_name='identitycase',
            name='market2',
            field=models.CharField(choices=[('spot', 'spot'), ('swap', 'swap')], db_default='spot', default='spot', max_length=8, verbose_name='market 2'),
        ),
        migrations.AddField(
            model_name='instrument',
            name='contract_size',
            field=models.DecimalField(blank=True, decimal_places=18, help_text="Coins in one contract by the exchange's own field; 1 where it sizes in coins. Empty: spot, or unknown, and then a swap is not followed.", max_digits=36, null=True, verbose_name='contract size'),
        ),
        migrations.AddField(
            model_name='instrument',
            name='contract_size_before',
            field=models.DecimalField(blank=True, decimal_places=18, help_text='What it was until the exchange last changed it.', max_digits=36, null=True, verbose_name='contract size before'),
        ),
        migrations.AddField(
            model_name='instrument',
            name='contract_size_since',
            field=models.DateTimeField(blank=True, null=True, verbose_name='contract size since'),
        ),
        migrations.AddField(
            model_name='instrument',
            name='expires_at',
            field=models.DateTimeField(blank=True, help_text='Its delivery, or an announced last settlement.', null=True, verbose_name='expires at'),
        ),
        migrations.AddField(
            model_name='instrument',
            name='listed_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='listed at'),
        ),
        migrations.AddField(
            model_name='instrument',
            name='max_amount',
            field=models.DecimalField(blank=True, decimal_places=18, max_digits=36, null=True, verbose_name='max amount'),
        ),
        migrations.AddField(
            model_name='instrument',
            name='max_leverage',
            field=models.DecimalField(blank=True, decimal_places=3, max_digits=9, null=True, verbose_name='max leverage'),
        ),
        migrations.AddField(
            model_name='instrument',
            name='min_amount',
            field=models.DecimalField(blank=True, decimal_places=18, max_digits=36, null=True, verbose_name='min amount'),
        ),
        migrations.AddField(
            model_name='instrument',
            name='not_followed',
            field=models.CharField(blank=True, help_text='Why it is listed and neither collected nor compared: inverse, dated, or without a contract size that can be read.', max_length=255, verbose_name='not followed'),
        ),
        migrations.AddField(
            model_name='instrument',
            name='risk_tiers',
            field=models.JSONField(blank=True, help_text='Steps of notional in quote currency with the leverage each allows; empty where the exchange does not list them publicly.', null=True, validators=[markets.models.checks.validate_risk_tiers], verbose_name='risk limits'),
        ),
        migrations.AddField(
            model_name='instrument',
            name='settle',
            field=models.CharField(blank=True, help_text='The coin a swap is settled in.', max_length=32, verbose_name='settle coin'),
        ),
        migrations.AddField(
            model_name='opportunityfilter',
            name='pair_kinds',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('spot-spot', 'spot against spot'), ('swap-swap', 'swap against swap'), ('spot-swap', 'spot against swap of another exchange'), ('basis', 'basis: spot and swap of one exchange')], max_length=16), db_default=['spot-spot'], default=markets.models.filters.spot_only, help_text='Which kinds of pairs it selects, of those chosen below or of all.', size=None, verbose_name='kinds of pairs'),
        ),
        migrations.AlterField(
            model_name='cataloguesync',
            name='exchange',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='catalogue_syncs', to='markets.exchange', verbose_name='exchange'),
        ),
        migrations.AlterField(
            model_name='identitycase',
            name='follows',
            field=models.CharField(blank=True, editable=False, help_text='Key of the market whose listing was decided, where this pair only follows that.', max_length=40, verbose_name='follows'),
        ),
        migrations.AlterField(
            model_name='instrument',
            name='kind',
            field=models.CharField(choices=[('spot', 'spot'), ('swap', 'swap')], default='spot', max_length=8, verbose_name='kind'),
        ),
        migrations.AlterField(
            model_name='instrument',
            name='lot_size',
            field=models.DecimalField(blank=True, decimal_places=18, help_text='In coins, as the two amounts.', max_digits=36, null=True, verbose_name='lot size'),
        ),
        migrations.AlterField(
            model_name='opportunityfilter',
            name='pairs',
            field=models.ManyToManyField(blank=True, help_text='Empty: every enabled pair of these kinds.', related_name='filters', to='markets.exchangepair', verbose_name='exchange pairs'),
        ),
        migrations.AlterField(
            model_name='symbol',
            name='kind',
            field=models.CharField(choices=[('spot', 'spot'), ('swap', 'swap')], default='spot', max_length=8, verbose_name='kind'),
        ),
        migrations.AddConstraint(
            model_name='cataloguesync',
            constraint=models.UniqueConstraint(fields=('exchange', 'market'), name='sync_one_per_market'),
        ),
        migrations.AddConstraint(
            model_name='exchange',
            constraint=models.CheckConstraint(condition=models.Q(('swap_taker_fee_bps__isnull', True), ('swap_taker_fee_bps__range', (-50, 200)), _connector='OR'), name='exchange_swap_taker_fee_sane'),
        ),
        migrations.AddConstraint(
            model_name='exchange',
            constraint=models.CheckConstraint(condition=models.Q(('swap_maker_fee_bps__isnull', True), ('swap_maker_fee_bps__range', (-50, 200)), _connector='OR'), name='exchange_swap_maker_fee_sane'),
        ),
        migrations.AddConstraint(
            model_name='exchangepair',
            constraint=models.UniqueConstraint(django.db.models.functions.comparison.Least(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('exchange1'), '*', models.Value(2)), '+', models.Case(models.When(market1='swap', then=models.Value(1)), default=models.Value(0))), django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('exchange2'), '*', models.Value(2)), '+', models.Case(models.When(market2='swap', then=models.Value(1)), default=models.Value(0)))), django.db.models.functions.comparison.Greatest(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('exchange1'), '*', models.Value(2)), '+', models.Case(models.When(market1='swap', then=models.Value(1)), default=models.Value(0))), django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('exchange2'), '*', models.Value(2)), '+', models.Case(models.When(market2='swap', then=models.Value(1)), default=models.Value(0)))), name='pair_unordered_unique', violation_error_message='This pair exists already, maybe the other way round: edit that one instead.'),
        ),
        migrations.AddConstraint(
            model_name='exchangepair',
            constraint=models.CheckConstraint(condition=models.Q(('exchange1', models.F('exchange2')), ('market1', models.F('market2')), _negated=True), name='pair_distinct_exchanges', violation_error_message='Exchange 2 is the same as exchange 1: choose a different one. Of one exchange, spot and swap can be compared.'),
        ),
        migrations.AddConstraint(
            model_name='feeschedule',
            constraint=models.UniqueConstraint(fields=('exchange', 'market', 'tier', 'symbols', 'valid_from'), name='fees_one_per_tier_and_day'),
        ),
        migrations.AddConstraint(
            model_name='identitycase',
            constraint=models.UniqueConstraint(models.F('symbol'), django.db.models.functions.comparison.Least(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('exchange1'), '*', models.Value(2)), '+', models.Case(models.When(market1='swap', then=models.Value(1)), default=models.Value(0))), django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('exchange2'), '*', models.Value(2)), '+', models.Case(models.When(market2='swap', then=models.Value(1)), default=models.Value(0)))), django.db.models.functions.comparison.Greatest(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('exchange1'), '*', models.Value(2)), '+', models.Case(models.When(market1='swap', then=models.Value(1)), default=models.Value(0))), django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('exchange2'), '*', models.Value(2)), '+', models.Case(models.When(market2='swap', then=models.Value(1)), default=models.Value(0)))), name='identity_one_case_per_pair'),
        ),
        migrations.AddConstraint(
            model_name='identitycase',
            constraint=models.CheckConstraint(condition=models.Q(('exchange1', models.F('exchange2')), ('market1', models.F('market2')), _negated=True), name='identity_distinct_exchanges'),
        ),
        migrations.RunPython(of_unknown_size, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name='instrument',
            constraint=models.CheckConstraint(condition=models.Q(('contract_size__isnull', True), ('contract_size__gt', 0), _connector='OR'), name='instrument_contract_size_positive'),
        ),
        migrations.AddConstraint(
            model_name='instrument',
            constraint=models.CheckConstraint(condition=models.Q(('kind', 'spot'), ('contract_size__isnull', False), models.Q(('not_followed', ''), _negated=True), _connector='OR'), name='instrument_of_known_size_or_not_followed'),
        ),
        migrations.AddConstraint(
            model_name='opportunityfilter',
            constraint=models.CheckConstraint(condition=models.Q(('pair_kinds__contained_by', ['spot-spot', 'swap-swap', 'spot-swap', 'basis']), ('pair_kinds__len__gt', 0)), name='filter_pair_kinds_known'),
        ),
    ]
