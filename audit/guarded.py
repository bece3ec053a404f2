"""The admin's pages, on which nobody overwrites or deletes what they have not seen.

Every page says what it shows (audit.seen). What comes back is compared with what there is, in the
transaction that saves and with the rows locked. Where it was changed meanwhile nothing is saved: the page
comes again with what was entered, says who changed what, and lets one load the present state or save over it.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import flatten, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connections, router, transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.conflicts import Conflict, differences
from audit.models import Entry
from audit.recording import gathered, has_recorded, record
from audit.registry import Shown, audited
from audit.seen import OVER, SEEN, Seen, opened, seal

CONFLICT = 409
EDITABLE_PREFIX = "form"


class GuardedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    """A page of the admin that records what is done on it, and saves over nothing unseen."""

    empty_text: Any = ""  # what an empty list means, and what to do next
    never: tuple[str, ...] = ()  # what nobody may do here, whatever their rights: add, change, delete

    def lock_first(self) -> None:
        """Lock what every writer of the model locks before its rows; most models have no such thing."""

    # --- what is never done ----------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        """By right, where anybody may."""
        return "add" not in self.never and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """By right, where anybody may."""
        return "change" not in self.never and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """By right, where anybody may."""
        return "delete" not in self.never and super().has_delete_permission(request, obj)

    # --- one row ---------------------------------------------------------------------------------

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Compare a posted form with the row, and save it, in one transaction."""
        if request.method != "POST":
            return super().changeform_view(request, object_id, form_url, extra_context)
        with transaction.atomic(using=router.db_for_write(self.model)), gathered():
            if object_id is not None:
                self.hold([unquote(object_id)])
            response = super().changeform_view(request, object_id, form_url, extra_context)
        return _with_status(response)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Return Django's form; where the row was changed meanwhile, one that cannot be valid."""
        form = super().get_form(request, obj, change=change, **kwargs)
        if obj is None or not change or request.method != "POST":
            return form
        conflict = self.conflict(request, [obj], self._family(request, obj)[1:])
        return type(form.__name__, (_Refusing, form), {"conflict": conflict}) if conflict else form

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return Django's fieldsets; of a secret that is only read, they show that there is one."""
        sets = super().get_fieldsets(request, obj)
        found = audited(self.model)
        if found is None or not found.secret or self.has_change_permission(request, obj):
            return sets
        veils = {name: _veil(self.model, name, shown) for name, shown in found.secret.items()}
        return [
            (title, {**options, "fields": [veils.get(name, name) for name in flatten(options["fields"])]})
            for title, options in sets
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The form, with what it shows; after a conflict with both sides."""
        form, row = context["adminform"].form, context.get("original")
        if form.is_bound and row is not None:
            row = self.get_object(request, str(row.pk))  # that of a form has what was entered
        present = seal(self._family(request, row) if row is not None else ())
        context["seen"] = request.POST.get(SEEN, present) if form.is_bound else present
        if conflict := getattr(form, "conflict", None):
            formsets = [each.formset for each in context["inline_admin_formsets"]]
            bound = [form, *(each for formset in formsets for each in formset.forms)]
            context |= {"conflict": conflict, "differences": differences(bound), "present": present}
            if sum(map(len, context["errors"])) <= 1:  # that of the conflict, which says itself what it is
                context["errors"] = None
        return super().render_change_form(request, context, *args, **kwargs)

    def _family(self, request: HttpRequest, row: Any) -> list[Model]:
        """A row and those that are edited on its page."""
        family: list[Model] = [row]
        for formset, inline in self.get_formsets_with_inlines(request, row):
            rows = inline.get_queryset(request)
            family += rows.filter(**{formset.fk.name: row}) if hasattr(formset, "fk") else ()
        return family

    def conflict(
        self, request: HttpRequest, rows: Sequence[Model], beside: Sequence[Model] | None = None
    ) -> Conflict | None:
        """Difference from what the page had shown; None, too, where the page did not say.

        `rows` are what is about to be changed; of those `beside`, which are edited on the same page, new
        ones are nobody's business, and those that are gone are.
        """
        said = request.POST.get(OVER) or request.POST.get(SEEN)
        if said is None:
            return None
        seen = opened(said)
        stale = seen.stale(rows) + [row for row in seen.stale(beside or ()) if seen.shows(row)]
        gone = [] if beside is None else seen.gone([*rows, *beside])
        return Conflict(stale, gone, seen.at) or None

    def hold(self, pks: Iterable[Any]) -> None:
        """Lock rows until the transaction ends, always in the same order."""
        self.lock_first()
        key = self.model._meta.pk
        try:
            wanted = [key.to_python(pk) for pk in pks]
        except ValidationError:
            return  # no row of that name: Django says so
        rows = self.model._base_manager.filter(pk__in=wanted).order_by("pk")
        list(rows.select_for_update(of=("self",)).values_list("pk"))

    def _get_obj_does_not_exist_redirect(
        self, request: HttpRequest, opts: Any, object_id: str
    ) -> HttpResponse:
        self.say_who_deleted(request, unquote(object_id))
        response: HttpResponse = super()._get_obj_does_not_exist_redirect(request, opts, object_id)  # type: ignore[misc]
        return response

    def say_who_deleted(self, request: HttpRequest, object_id: str) -> None:
        """Say that a row was deleted through the desk, and by whom."""
        about = Entry.objects.filter(object_type=self.opts.label_lower, object_id=object_id)
        entry = about.filter(kind__in=("deleted", "token_revoked")).first()
        if entry is not None:
            said = _("%(who)s deleted “%(name)s” at %(time)s UTC.")
            what = {"who": entry.who, "name": entry.object_name, "time": f"{entry.at:%Y-%m-%d %H:%M:%S}"}
            self.message_user(request, said % what, messages.WARNING)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """Refuse users who may not read: Django's page says to anybody whether there was such a row."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    # --- deleting one ----------------------------------------------------------------------------

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Delete as Django does; ask again about rows that changed after the question."""
        with transaction.atomic(using=router.db_for_write(self.model)), gathered():
            if request.method == "POST":
                self.hold([unquote(object_id)])
            row = self.get_object(request, unquote(object_id))
            if row is None or not self.has_delete_permission(request, row):
                return super().delete_view(request, object_id, extra_context)
            context = {**(extra_context or {}), "seen": seal([row])}
            conflict = self.conflict(request, [row]) if request.method == "POST" else None
            if conflict is None:
                return super().delete_view(request, object_id, context)
            asked = super().delete_view(_asked_again(request), object_id, {**context, "conflict": conflict})
        return _with_status(asked)

    # --- lists -----------------------------------------------------------------------------------

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show Django's list, sealed with the versions of its rows."""
        if request.method != "POST":
            response: HttpResponse = super().changelist_view(request, extra_context)
        else:
            if OVER in request.POST:  # pressed instead of “Save”
                request.POST = with_field(request.POST, "_save", "")
            with transaction.atomic(using=router.db_for_write(self.model)), gathered():
                response = super().changelist_view(request, extra_context)
        page = getattr(response, "context_data", None) or {}
        if isinstance(page.get("cl"), ChangeList) and "seen" not in page:
            self._add_what_is_shown(request, page)
        return _with_status(response)

    def _add_what_is_shown(self, request: HttpRequest, page: dict[str, Any]) -> None:
        listed, formset = page["cl"].result_list, page["cl"].formset
        conflict = getattr(formset, "conflict", None)
        page["seen"] = request.POST.get(SEEN) if conflict else seal(listed)
        if conflict:
            present = seal(self.model._base_manager.filter(pk__in=[row.pk for row in listed]))
            page |= {"conflict": conflict, "differences": differences(formset.forms), "present": present}

    def get_changelist_formset(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Return Django's formset; where a row was changed meanwhile, one that cannot be valid."""
        formset = super().get_changelist_formset(request, **kwargs)
        if request.method != "POST":
            return formset
        pks = self._get_edited_object_pks(request, EDITABLE_PREFIX)
        self.hold(pks)
        rows = list(self._get_list_editable_queryset(request, EDITABLE_PREFIX))
        conflict = self.conflict(request, rows)
        name = formset.__name__
        return type(name, (_RefusingSet, formset), {"conflict": conflict}) if conflict else formset

    def response_action(  # type: ignore[override]
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> Any:
        """Run an action; ask again where a row is not as the list showed it."""
        selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
        self.hold(selected)
        if conflict := self._stale_choice(request, queryset, selected):
            return self._ask_again(request, queryset, conflict)
        response = super().response_action(request, queryset)
        if not has_recorded() and getattr(response, "url", None) == request.get_full_path():
            done = f"{request.POST.get('action')}, {len(selected)} selected"
            record("action", request=request, object=str(self.opts.verbose_name_plural), words=done)
        if isinstance(response, TemplateResponse) and response.context_data is not None:
            chosen = queryset.filter(pk__in=selected)  # it asks whether they are meant, as they were listed
            response.context_data["seen"] = request.POST.get(SEEN) or seal(chosen)
        return response

    def _stale_choice(
        self, request: HttpRequest, queryset: QuerySet[Any], selected: list[str]
    ) -> Conflict | None:
        if audited(self.model) is None:
            return None
        if request.POST.get("select_across") != "1":
            return self.conflict(request, list(queryset.filter(pk__in=selected)))
        seen = opened(request.POST[SEEN]) if SEEN in request.POST else Seen()
        if seen.at is None:
            return None
        since = Entry.objects.filter(object_type=self.opts.label_lower, at__gt=seen.at)
        changed = queryset.filter(pk__in=list(since.values_list("object_id", flat=True)[:1000]))
        return Conflict(list(changed), [], seen.at) or None

    def _ask_again(
        self, request: HttpRequest, queryset: QuerySet[Any], conflict: Conflict
    ) -> HttpResponseBase:
        again = [
            (name, value)
            for name in ("action", ACTION_CHECKBOX_NAME, "select_across", "index", "post")
            for value in request.POST.getlist(name)
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Changed meanwhile"),
            "opts": self.opts,
            "conflict": conflict,
            "again": again,
            "seen": seal(queryset.filter(pk__in=request.POST.getlist(ACTION_CHECKBOX_NAME))),
        }
        return TemplateResponse(request, "admin/audit/action_conflict.html", context, status=CONFLICT)

    # --- what was done, in words -----------------------------------------------------------------

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Record what an action says of a row. (A form's changes are recorded as such.)"""
        if isinstance(message, str):
            record("action", request=request, object=obj, words=message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Record the deletion of rows that nothing else records."""
        for row in queryset if audited(self.model) is None else ():
            record("deleted", request=request, object=row)
        return super().log_deletions(request, queryset)


def _veil(model: type[Model], name: str, shown: Shown) -> Callable[[Model], str]:
    """A column of a page that shows a secret as the audit does."""

    @admin.display(description=model._meta.get_field(name).verbose_name)  # type: ignore[union-attr]
    def veil(row: Model) -> str:
        return shown(getattr(row, name))

    return veil


class ReadOnlyAdmin(GuardedAdmin):
    """Rows that only programs write and remove: what happened, happened."""

    never = ("add", "change", "delete")


class OneRowAdmin(GuardedAdmin):
    """Settings of which there is one row: its list is its form. Without the row their defaults hold."""

    never = ("delete",)  # what was set is set otherwise

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Straight to the row: a list of one is no list."""
        row = self.model._base_manager.first()
        if row is None and self.has_view_permission(request) and not self.has_add_permission(request):
            self._say_that_defaults_hold(request)
            return HttpResponseRedirect(reverse("admin:index"))
        return HttpResponseRedirect(self._address(row))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        """The form of the row that somebody else has made meanwhile, as of one they have changed."""
        if request.method != "POST":
            if self.has_add_permission(request):
                self._say_that_defaults_hold(request)
            return super().add_view(request, form_url, extra_context)
        with transaction.atomic(using=router.db_for_write(self.model)):
            self._hold_what_is_not_there_yet()
            row = self.model._base_manager.first()
            if row is None:
                return super().add_view(request, form_url, extra_context)
            if SEEN not in request.POST:
                request.POST = with_field(request.POST, SEEN, "")
            reload = {"reload": self._address(row)}
            return self.change_view(request, str(row.pk), form_url, {**(extra_context or {}), **reload})

    def _hold_what_is_not_there_yet(self) -> None:
        self.lock_first()
        with connections[router.db_for_write(self.model)].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [self.opts.db_table])

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one row at most."""
        return super().has_add_permission(request) and not self.model._base_manager.exists()

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Offer no second row to add."""
        context["show_save_and_add_another"] = False
        return super().render_change_form(request, context, *args, **kwargs)

    def _say_that_defaults_hold(self, request: HttpRequest) -> None:
        said = _("The %(name)s were never changed: the defaults apply.")
        self.message_user(request, said % {"name": self.opts.verbose_name})

    def _address(self, row: Model | None) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        return reverse(f"{name}_add") if row is None else reverse(f"{name}_change", args=[row.pk])


class _Refusing:
    """Mixed into a form whose row was changed meanwhile."""

    conflict: Conflict

    def clean(self) -> Any:
        data = super().clean()  # type: ignore[misc]
        self.add_error(None, self.conflict.words())  # type: ignore[attr-defined]
        return data


class _RefusingSet:
    """Mixed into the formset of a list of whose rows some were changed meanwhile."""

    conflict: Conflict

    def clean(self) -> None:
        super().clean()  # type: ignore[misc]
        stale = {row.pk for row in self.conflict.rows}
        forms: Any = self.forms  # type: ignore[attr-defined]
        if any(form.has_changed() and form.instance.pk in stale for form in forms):
            raise ValidationError(self.conflict.words())


def with_field(given: QueryDict, name: str, value: str) -> Any:
    """The fields of a request, and one more."""
    fields = given.copy()
    fields[name] = value
    return fields


def _asked_again(request: HttpRequest) -> HttpRequest:
    """The same question, not answered."""
    asked = copy.copy(request)
    asked.method, asked.POST = "GET", QueryDict()
    return asked


def _with_status(response: HttpResponse) -> HttpResponse:
    if (getattr(response, "context_data", None) or {}).get("conflict"):
        response.status_code = CONFLICT
    return response
