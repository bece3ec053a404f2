"""Alert rules and the incidents they made."""

import datetime
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, Q, QuerySet
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from audit.guarded import GuardedAdmin
from core.names import formats as wording
from monitoring.alerts.channel_admin import LookOnlyAdmin, shown
from monitoring.alerts.preview import in_words, would_fire
from monitoring.models import Alert, AlertRule, Severity

# A shape beside the word, so that state is never colour alone.
SIGNS = {Severity.INFO: "○", Severity.WARNING: "▲", Severity.CRITICAL: "■"}


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """A rule with its channels."""

    class Meta:
        model = AlertRule
        fields = "__all__"  # noqa: DJ007 - the page names them

    def clean(self) -> dict[str, Any]:
        """Refuse what the chosen channels cannot do."""
        data: dict[str, Any] = super().clean() or {}
        pagers = [row.name for row in data.get("channels", ()) if row.keeps_incidents]
        if data.get("digest_minutes") and pagers:
            text = _("%(channel)s opens and closes each incident by itself: leave this 0, or use two rules.")
            self.add_error("digest_minutes", text % {"channel": pagers[0]})
        return data


@admin.register(AlertRule)
class AlertRuleAdmin(GuardedAdmin):
    """Rules: conditions of an incident, and recipients of its alert."""

    empty_text = _(
        "No alert is sent without rules: add one, or the default ones with `manage.py seed_rules`."
    )

    form = RuleForm
    list_display = ("name", "enabled", "level", "asks", "sends_to", "now")
    list_filter = ("enabled", "severity", "what", "channels")
    search_fields = ("name", "subject")
    list_select_related = ("filter", "exchange1", "exchange2")
    filter_horizontal = ("channels",)
    readonly_fields = ("would_fire_now",)
    actions = ("enable", "disable")
    fieldsets = (
        (None, {"fields": ("name", "enabled", "what", "severity", "would_fire_now")}),
        (
            _("For opportunities"),
            {
                "fields": (
                    "filter", "min_edge_bps", "min_size", "min_edge_at_size_bps", "min_profit", "profit_size",
                ),
                "description": _("Empty for health rules."),
            },
        ),
        (
            _("For funding spreads"),
            {
                "fields": ("exchange1", "exchange2", "funding_unit"),
                "description": _("Subject, threshold and “clears below” are those under health."),
            },
        ),
        (
            _("For the desk's health"),
            {"fields": ("subject", "threshold", "clear_below"), "description": _("Empty for opportunities.")},
        ),
        (_("When it fires and resolves"), {"fields": ("for_s", "clear_after_s", "cool_down_s")}),
        (
            _("Recipients and schedule"),
            {
                "fields": (
                    "channels", "tell_resolved", "digest_minutes", "remind_minutes", "quiet_from",
                    "quiet_until", "quiet_zone", "quiet_critical",
                )
            },
        ),
    )  # fmt: skip

    class Media:
        css = {"all": ("monitoring/admin.css",)}
        js = (Script("markets/filter_count.js", type="module"),)  # keeps “would fire now” current

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRule]:
        """Add the number of firing incidents and the channels."""
        rows: QuerySet[AlertRule] = super().get_queryset(request)
        firing = Count("alerts", Q(alerts__state=Alert.State.FIRING), distinct=True)
        return rows.prefetch_related("channels").annotate(firing=firing)

    @admin.display(description=_("severity"), ordering="severity")
    def level(self, row: AlertRule) -> str:
        """Value as shape and word."""
        return f"{SIGNS[Severity(row.severity)]} {row.get_severity_display()}"

    @admin.display(description=_("fires on"), ordering="what")
    def asks(self, row: AlertRule) -> str:
        """Condition of the rule, in a line."""
        return in_words(row)

    @admin.display(description=_("sends to"))
    def sends_to(self, row: AlertRule) -> str:
        """Channels that receive its alerts."""
        return ", ".join(channel.name for channel in row.channels.all()) or gettext(
            "no channel: shown here only"
        )

    @admin.display(description=_("now"))
    def now(self, row: Any) -> Any:
        """Number of firing incidents, with a link to them."""
        if not row.enabled:
            return gettext("○ off")
        if not row.firing:
            return gettext("○ not firing") if row.of_opportunities else gettext("● not firing")
        address = reverse("admin:monitoring_alert_changelist")
        text = gettext("%(count)s firing") % {"count": f"{row.firing:,}"}
        sign = SIGNS[Severity(row.severity)]
        return format_html(
            '<a href="{}?rule__id__exact={}&amp;state__exact=firing">{} {}</a>', address, row.pk, sign, text
        )

    # --- what it would do ----------------------------------------------------------------------------

    @admin.display(description=_("would fire now for"))
    def would_fire_now(self, row: AlertRule) -> Any:
        """Preview on the form; the page's script keeps it current while somebody types."""
        text = self._would_fire(row) if row.what else gettext("Choose what the rule watches first.")
        address = reverse("admin:monitoring_alertrule_preview")
        return format_html('<output id="selects-now" data-count-url="{}">{}</output>', address, text)

    def _would_fire(self, row: AlertRule) -> str:
        """Preview of the stored rule: a form shown again holds refused values in its row."""
        try:
            row.clean_fields(exclude=("name",))
        except ValidationError:
            return gettext("Correct the form to see the result.")
        return would_fire(row)

    def get_urls(self) -> list[Any]:
        """Add the address the form's script asks."""
        preview = path(
            "preview/", self.admin_site.admin_view(self.preview), name="monitoring_alertrule_preview"
        )
        return [preview, *super().get_urls()]

    @method_decorator(require_POST)
    def preview(self, request: HttpRequest) -> HttpResponse:
        """Answer with what the posted form would fire for, in a line; nothing is stored."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = cast(RuleForm, self.get_form(request)(request.POST))
        form.errors.pop("name", None)  # taken by the rule that is being edited
        text = (
            would_fire(form.instance) if form.is_valid() else gettext("Correct the form to see the result.")
        )
        return HttpResponse(text, content_type="text/plain")

    # --- switches ------------------------------------------------------------------------------------

    @admin.action(description=_("Enable selected %(verbose_name_plural)s"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        """Switch them on."""
        self._switch(request, queryset, True)

    @admin.action(description=_("Disable selected %(verbose_name_plural)s"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        """Switch them off; what they have firing is resolved within a second."""
        self._switch(request, queryset, False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[AlertRule], enabled: bool) -> None:
        rows = [row for row in queryset if row.enabled != enabled]
        ids = [row.pk for row in rows]
        AlertRule.objects.filter(pk__in=ids).update(enabled=enabled, changed_at=timezone.now())
        for row in rows:
            self.log_change(request, row, "Enabled." if enabled else "Disabled.")
        text = gettext("%(count)d enabled.") if enabled else gettext("%(count)d disabled.")
        self.message_user(request, text % {"count": len(rows)}, messages.SUCCESS)


@admin.register(Alert)
class AlertAdmin(LookOnlyAdmin):
    """Incidents that fire and that fired, with every message that was sent about them."""

    empty_text = _(
        "No incidents yet. Alert rules decide what fires; the health page shows the current findings."
    )

    list_display = ("standing", "level", "title", "began", "lasted", "rule_name", "told")
    list_display_links = ("standing", "title")
    list_filter = ("state", "severity", "rule")
    search_fields = ("subject", "title")
    date_hierarchy = "fired_at"
    ordering = ("state", "-fired_at")  # what fires, then what was resolved
    fieldsets = (
        (None, {"fields": ("standing", "level", "title", "words", "remedy", "page", "known")}),
        (_("When"), {"fields": ("began", "fired", "ended", "lasted", "resolved_why")}),
        (_("Rule"), {"fields": ("rule", "rule_name", "key", "measured", "bound")}),
        (_("Messages"), {"fields": ("told", "reminders", "sent")}),
    )

    @admin.display(description=_("state"), ordering="state")
    def standing(self, row: Alert) -> str:
        """Value as shape and word."""
        return f"{'●' if row.state == Alert.State.RESOLVED else '▲'} {row.get_state_display()}"

    @admin.display(description=_("severity"), ordering="severity")
    def level(self, row: Alert) -> str:
        """Value as shape and word."""
        return f"{SIGNS[Severity(row.severity)]} {row.get_severity_display()}"

    @admin.display(description=_("since (UTC)"), ordering="since")
    def began(self, row: Alert) -> str:
        """Time when it became so."""
        return _moment(row.since)

    @admin.display(description=_("fired (UTC)"), ordering="fired_at")
    def fired(self, row: Alert) -> str:
        """Time when the rule fired."""
        return _moment(row.fired_at)

    @admin.display(description=_("resolved (UTC)"), ordering="resolved_at")
    def ended(self, row: Alert) -> str:
        """A dash while it goes on."""
        return _moment(row.resolved_at)

    @admin.display(description=_("lasted"))
    def lasted(self, row: Alert) -> str:
        """Duration until it was resolved, or until now."""
        until = row.resolved_at or timezone.now()
        return wording.age(max(0.0, (until - row.since) / datetime.timedelta(milliseconds=1)))

    @admin.display(description=_("value"))
    def measured(self, row: Alert) -> str:
        """Value in the unit the words name."""
        return _figure(row.value)

    @admin.display(description=_("limit"))
    def bound(self, row: Alert) -> str:
        """Limit it is compared with."""
        return _figure(row.limit)

    @admin.display(description=_("page"))
    def page(self, row: Alert) -> Any:
        """Link to the page concerned."""
        if not row.path:
            return "–"
        return format_html('<a href="{}{}">{}</a>', settings.URL_PREFIX, row.path, row.path)

    @admin.display(description=_("facts"))
    def known(self, row: Alert) -> str:
        """Facts known when it fired."""
        return render_to_string("admin/monitoring/facts.html", {"facts": row.facts}) if row.facts else "–"

    @admin.display(description=_("messages"))
    def sent(self, row: Alert) -> str:
        """Each with its tries."""
        rows = list(row.deliveries.select_related("channel").prefetch_related("attempts"))
        if not rows:
            return "–"
        return render_to_string("admin/monitoring/deliveries.html", {"deliveries": shown(rows), "to": True})


def _moment(at: datetime.datetime | None) -> str:
    return "–" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _figure(value: float | None) -> str:
    return "–" if value is None else wording.share(round(value, 2))
