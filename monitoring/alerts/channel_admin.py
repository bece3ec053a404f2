"""Alert channels, and what was sent over them, try by try."""

from typing import Any

import msgspec
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

import audit
from audit.guarded import GuardedAdmin, ReadOnlyAdmin
from monitoring.alerts.channel_form import OF_KIND, SETTINGS, ChannelForm, waiting_in_words
from monitoring.alerts.messages import Message
from monitoring.alerts.outbox import put_test
from monitoring.models import AlertChannel, Delivery

DELIVERIES_SHOWN = 20
# A shape beside the word, so that state is never colour alone.
SIGNS = {
    Delivery.State.QUEUED: "○",
    Delivery.State.SENDING: "○",
    Delivery.State.SENT: "●",
    Delivery.State.GROUPED: "●",
    Delivery.State.GIVEN_UP: "■",
}
OPEN = (Delivery.State.QUEUED, Delivery.State.SENDING)


def standing(row: Delivery) -> str:
    """Progress of a delivery, as shape and word; what went wrong behind it."""
    sign = "▲" if row.state in OPEN and row.last_error else SIGNS[Delivery.State(row.state)]
    words = f"{sign} {row.get_state_display()}"
    return f"{words}: {row.last_error}" if row.last_error else words


class LookOnlyAdmin(ReadOnlyAdmin):
    """Rows that only the monitor writes; old ones go by themselves (ALERT_DAYS)."""

    show_full_result_count = False
    list_per_page = 50

    class Media:
        css = {"all": ("monitoring/admin.css",)}


@admin.register(AlertChannel)
class AlertChannelAdmin(GuardedAdmin):
    """Channels of alerts; a secret is entered and never shown."""

    empty_text = _(
        "Without a channel no alert is delivered: add one, send a test, and name it in the alert rules."
    )

    form = ChannelForm
    change_form_template = "admin/monitoring/alertchannel/change_form.html"
    list_display = ("name", "kind", "enabled", "used_by", "last_result", "waiting")
    list_filter = ("kind", "enabled")
    search_fields = ("name",)
    actions = ("send_test",)
    readonly_fields = ("lately",)
    fieldsets = (
        (None, {"fields": ("name", "kind", "enabled")}),
        (_("Destination"), {"fields": SETTINGS}),
        (_("Secret"), {"fields": ("secret",)}),
        (_("Rate limits"), {"fields": ("per_second", "per_minute")}),
        (_("Recent messages"), {"fields": ("lately",)}),
    )  # fmt: skip

    class Media:
        css = {"all": ("monitoring/admin.css",)}
        js = (Script("monitoring/channel.js", type="module"),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertChannel]:
        """Add what the list says of each."""
        rows: QuerySet[AlertChannel] = super().get_queryset(request)
        newest = Delivery.objects.filter(channel=OuterRef("pk")).order_by("-created_at")
        return rows.annotate(
            newest=Subquery(newest.values("pk")[:1]),
            waits=Count("deliveries", Q(deliveries__state__in=OPEN), distinct=True),
            rule_count=Count("rules", Q(rules__enabled=True), distinct=True),
        )

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Allow what was sent by a channel to go with it, although nobody deletes it one by one."""
        objects, counts, needed, protected = super().get_deleted_objects(objs, request)
        return objects, counts, needed - {Delivery._meta.verbose_name}, protected

    @admin.display(description=_("rules"))
    def used_by(self, row: Any) -> int:
        """Number of enabled rules that send to it."""
        return int(row.rule_count)

    @admin.display(description=_("last message"))
    def last_result(self, row: Any) -> str:
        """Result of the newest delivery."""
        newest = Delivery.objects.filter(pk=row.newest).first()
        return gettext("none yet") if newest is None else standing(newest)

    @admin.display(description=_("waiting"))
    def waiting(self, row: Any) -> str:
        """Number of messages that wait."""
        return f"{row.waits:,}"

    @admin.display(description=_("Secret"))
    def secret(self, row: AlertChannel) -> str:
        """Say to users who may only read that there is one. Without this Django shows the model's own."""
        return audit.hidden(row.sealed_secret)

    @admin.display(description=_("recent messages"))
    def lately(self, row: AlertChannel) -> str:
        """The newest messages, with how each fared."""
        if row._state.adding:
            return "–"
        rows = list(row.deliveries.prefetch_related("attempts")[:DELIVERIES_SHOWN])
        waits = row.deliveries.filter(state__in=OPEN).count()
        context = {"deliveries": shown(rows), "waiting": waiting_in_words(waits) if waits else ""}
        return render_to_string("admin/monitoring/deliveries.html", context)

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """The form's script needs to know what each kind asks for."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "kind" and field is not None:
            kinds = {str(kind): names for kind, names in OF_KIND.items()}
            field.widget.attrs["data-fields"] = msgspec.json.encode(kinds).decode()
        return field

    # --- tests ---------------------------------------------------------------------------------------

    @admin.action(description=_("Send a test message"), permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[AlertChannel]) -> None:
        """Queue one for each; the list shows how they fared."""
        for row in queryset:
            self._queue_test(request, row)

    def response_add(
        self, request: HttpRequest, obj: AlertChannel, post_url_continue: str | None = None
    ) -> HttpResponse:
        """“Save and send a test” goes to the page that follows the message."""
        return self._tested(request, obj) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: AlertChannel) -> HttpResponse:
        """“Save and send a test” stays on the page, which follows the message."""
        return self._tested(request, obj) or super().response_change(request, obj)

    def _tested(self, request: HttpRequest, channel: AlertChannel) -> HttpResponse | None:
        if "_test" not in request.POST:
            return None
        row = self._queue_test(request, channel)
        address = reverse("admin:monitoring_alertchannel_change", args=[channel.pk])
        return HttpResponseRedirect(f"{address}?test={row.pk}" if row else address)

    def _queue_test(self, request: HttpRequest, channel: AlertChannel) -> Delivery | None:
        if not channel.enabled:
            text = gettext("%(channel)s is disabled: nothing was sent.") % {"channel": channel}
            self.message_user(request, text, messages.WARNING)
            return None
        row = put_test(channel, request.user.get_username())
        self.log_change(request, channel, "Sent a test.")
        text = gettext("A test message for %(channel)s was queued.") % {"channel": channel}
        self.message_user(request, text, messages.INFO)
        return row

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the address at which a test that was just sent is followed."""
        test = request.GET.get("test", "")
        if test.isdigit():
            context["test_url"] = reverse("admin:monitoring_alertchannel_test", args=[test])
        return super().render_change_form(request, context, *args, **kwargs)

    def get_urls(self) -> list[Any]:
        """Add the address of a test's result."""
        result = path(
            "test/<int:delivery>/",
            self.admin_site.admin_view(self.test_result),
            name="monitoring_alertchannel_test",
        )
        return [result, *super().get_urls()]

    def test_result(self, request: HttpRequest, delivery: int) -> JsonResponse:
        """Result of a test until now, for the page's script."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = get_object_or_404(Delivery, pk=delivery, kind=Delivery.Kind.TEST)
        return JsonResponse({"words": standing(row), "over": row.state not in OPEN, "state": row.state})


@admin.register(Delivery)
class DeliveryAdmin(LookOnlyAdmin):
    """The outbox, and what became of every message."""

    empty_text = _(
        "No messages yet. Alert rules send incidents to their channels; a channel’s page can send a test."
    )

    list_display = ("created", "channel", "kind", "title", "fared", "tries")
    list_filter = ("state", "kind", "channel")
    list_select_related = ("channel",)
    date_hierarchy = "created_at"
    fields = ("channel", "kind", "alert", "fared", "said", "receipt", "idempotency_key", "every_try")

    @admin.display(description=_("queued (UTC)"), ordering="created_at")
    def created(self, row: Delivery) -> str:
        """Time to the second."""
        return f"{row.created_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description=_("message"))
    def title(self, row: Delivery) -> str:
        """Title of the message."""
        return message_of(row).title

    @admin.display(description=_("state"), ordering="state")
    def fared(self, row: Delivery) -> str:
        """State as shape and word."""
        return standing(row)

    @admin.display(description=_("message"))
    def said(self, row: Delivery) -> str:
        """Whole text of the message."""
        return render_to_string("admin/monitoring/message.html", {"message": message_of(row)})

    @admin.display(description=_("tries"))
    def every_try(self, row: Delivery) -> str:
        """Every try with its time, its duration and the answer."""
        return render_to_string("admin/monitoring/deliveries.html", {"deliveries": shown([row])})


def message_of(row: Delivery) -> Message:
    """Text of the message."""
    return msgspec.convert(row.message, Message)


def shown(rows: list[Delivery]) -> list[dict[str, Any]]:
    """Deliveries as the template lists them: each with its tries."""
    return [
        {"row": row, "title": message_of(row).title, "fared": standing(row), "attempts": row.attempts.all()}
        for row in rows
    ]
