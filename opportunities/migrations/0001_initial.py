"""The tables of the opportunities get an app of their own; they keep their names and rows."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

FORMER = {"opportunityepisode": "realtime", "verdictthresholds": "history"}


def _rights_follow(apps, _schema_editor):
    """Rights and the admin's history hang on content types, which are not there yet on a new database."""
    types = apps.get_model("contenttypes", "ContentType").objects
    for model, former in FORMER.items():
        if not types.filter(app_label="opportunities", model=model).exists():
            types.filter(app_label=former, model=model).update(app_label="opportunities")


def _rights_go_back(apps, _schema_editor):
    types = apps.get_model("contenttypes", "ContentType").objects
    for model, former in FORMER.items():
        if not types.filter(app_label=former, model=model).exists():
            types.filter(app_label="opportunities", model=model).update(app_label=former)


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ("contenttypes", "0002_remove_content_type_name"),
        ("history", "0003_verdicts_move_out"),
        ("markets", "0012_shard_leases"),
        ("realtime", "0006_episodes_move_out"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name='VerdictThresholds',
                    fields=[
                        ('id', models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                        ('neutral_pct', models.FloatField(default=0.1, help_text='|Deviation| below this is the neutral zone, where a cycle begins and ends.', validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)], verbose_name='neutral below, %')),
                        ('cycle_pct', models.FloatField(default=0.4, help_text='A cycle is complete when |deviation| went beyond this and came back to neutral.', validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)], verbose_name='a cycle goes beyond, %')),
                        ('event_pct', models.FloatField(default=0.3, help_text='An event is one stay of |deviation| at or above this; time above counts from here.', validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)], verbose_name='an event is at least, %')),
                        ('trending_below_crossings_per_minute', models.FloatField(default=1, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(10000)], verbose_name='trending below, crossings per minute')),
                        ('never_closes_above_time_pct', models.FloatField(default=50, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)], verbose_name='never closes above, % of the time')),
                        ('biased_above_asymmetry', models.FloatField(default=1, help_text='Of the deviation, or of the spread itself: the former cannot pass 1.', validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1000)], verbose_name='biased above, |asymmetry|')),
                        ('excellent_above_crossings_per_minute', models.FloatField(default=5, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(10000)], verbose_name='excellent above, crossings per minute')),
                        ('excellent_above_events_per_hour', models.FloatField(default=100, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1000000)], verbose_name='excellent above, events per hour')),
                        ('excellent_above_mean_peak_pct', models.FloatField(default=0.5, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)], verbose_name='excellent above, mean peak, %')),
                        ('excellent_above_big_peaks_pct', models.FloatField(default=20, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)], verbose_name='excellent above, % of peaks that are big')),
                        ('big_peak_pct', models.FloatField(default=0.5, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)], verbose_name='a peak is big above, %')),
                    ],
                    options={
                        'verbose_name': 'verdict thresholds',
                        'verbose_name_plural': 'verdict thresholds',
                        'db_table': 'history_verdictthresholds',
                        'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='one_verdict_thresholds'), models.CheckConstraint(condition=models.Q(('neutral_pct__lt', models.F('cycle_pct'))), name='verdict_neutral_below_cycle')],
                    },
                ),
                migrations.CreateModel(
                    name='OpportunityEpisode',
                    fields=[
                        ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                        ('filter_name', models.CharField(max_length=64, verbose_name='filter name')),
                        ('symbol', models.CharField(max_length=64, verbose_name='symbol')),
                        ('exchange1', models.CharField(max_length=32, verbose_name='exchange 1')),
                        ('exchange2', models.CharField(max_length=32, verbose_name='exchange 2')),
                        ('buy_on', models.CharField(max_length=32, verbose_name='buy on')),
                        ('sell_on', models.CharField(max_length=32, verbose_name='sell on')),
                        ('started_at', models.DateTimeField(help_text="When the edge reached the filter's minimum.", verbose_name='started')),
                        ('seen_at', models.DateTimeField(help_text='When a collector last vouched for it.', verbose_name='last seen')),
                        ('closed_at', models.DateTimeField(help_text='Empty: it is open.', null=True, verbose_name='closed')),
                        ('duration_ms', models.BigIntegerField(null=True, verbose_name='duration, ms')),
                        ('open_edge_bps', models.FloatField(verbose_name='edge at open, bps')),
                        ('peak_edge_bps', models.FloatField(verbose_name='peak edge, bps')),
                        ('mean_edge_bps', models.FloatField(help_text='Weighted by time.', verbose_name='mean edge, bps')),
                        ('close_edge_bps', models.FloatField(help_text='Empty: one side was gone, or it is open.', null=True, verbose_name='edge at close, bps')),
                        ('open_size', models.FloatField(help_text='Executable, in quote currency.', verbose_name='size at open')),
                        ('peak_size', models.FloatField(help_text='Executable, in quote currency.', verbose_name='size at peak')),
                        ('at_open', models.JSONField(verbose_name='both sides at open')),
                        ('at_peak', models.JSONField(verbose_name='both sides at peak')),
                        ('at_close', models.JSONField(null=True, verbose_name='both sides at close')),
                        ('gates', models.JSONField(default=list, help_text='Gates that were not known to pass at the opening.', verbose_name='unproven gates')),
                        ('reason', models.TextField(blank=True, verbose_name='why it closed')),
                        ('move', models.UUIDField(help_text='What opened together, on one side of one exchange. Empty: not known.', null=True, verbose_name='move')),
                        ('moved_on', models.CharField(blank=True, help_text='The exchange that moved. Empty: not known.', max_length=32, verbose_name='moved on')),
                        ('moved_side', models.CharField(blank=True, choices=[('buy', 'buy'), ('sell', 'sell')], help_text='Whether one buys or sells there.', max_length=4, verbose_name='side that moved')),
                        ('filter', models.ForeignKey(help_text='Empty: the filter was deleted.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='episodes', to='markets.opportunityfilter', verbose_name='filter')),
                    ],
                    options={
                        'verbose_name': 'opportunity',
                        'verbose_name_plural': 'opportunities',
                        'db_table': 'realtime_opportunityepisode',
                        'ordering': ('-started_at', 'id'),
                        'indexes': [models.Index(fields=['-started_at'], include=('symbol', 'exchange1', 'exchange2'), name='episode_newest'), models.Index(fields=['symbol', 'exchange1', 'exchange2', '-started_at'], name='episode_of_pair'), models.Index(fields=['-closed_at', '-started_at'], name='episode_open_first'), models.Index(fields=['move', '-started_at'], name='episode_of_move')],
                        'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('closed_at__isnull', True), ('duration_ms__isnull', True)), models.Q(('closed_at__isnull', False), ('duration_ms__gte', 0)), _connector='OR'), name='episode_closed_has_duration')],
                    },
                ),
            ]
        ),
        migrations.RunPython(_rights_follow, _rights_go_back),
    ]
