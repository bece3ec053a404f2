"""A channel as operators enter it: the fields of its kind, and a secret that is never shown again."""

from typing import Any, Final

from django import forms
from django.core.validators import validate_email
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from core.names.plain_names import check_name
from monitoring.alerts.secrets import UnreadableSecret, destination
from monitoring.models import AlertChannel, ChannelKind

OF_KIND: Final[dict[str, tuple[str, ...]]] = {
    ChannelKind.TELEGRAM: ("chat_id", "message_thread_id", "base_url"),
    ChannelKind.SLACK: (),
    ChannelKind.WEBHOOK: ("url",),
    ChannelKind.EMAIL: ("host", "port", "security", "username", "sender", "recipients"),
    ChannelKind.PAGERDUTY: ("base_url",),
}
"""The settings of each kind, in the order of the form."""

SETTINGS: Final = tuple(dict.fromkeys(name for names in OF_KIND.values() for name in names))

REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    ChannelKind.TELEGRAM: ("chat_id", "secret"),
    ChannelKind.SLACK: ("secret",),
    ChannelKind.WEBHOOK: ("url", "secret"),
    ChannelKind.EMAIL: ("host", "sender", "recipients"),
    ChannelKind.PAGERDUTY: ("secret",),
}

_ANOTHER_PLACE: Final = _(
    "The stored secret was entered for another destination: enter the secret for this one."
)


def _text(label: Any, help_text: Any = "") -> forms.CharField:
    wide = forms.TextInput(attrs={"class": "vTextField"})
    return forms.CharField(
        label=label,
        max_length=500,
        required=False,
        help_text=help_text,
        widget=wide,
        validators=[check_name],
    )


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """One form for all kinds; what is not of the chosen kind is left out of what is saved."""

    chat_id = _text(_("Chat"), _("The chat's number, or the @name of a public channel."))
    message_thread_id = _text(
        _("Topic"),
        _("For a group with topics: the topic's number (message_thread_id). Empty: the general topic."),
    )
    url = _text(
        _("URL"), _("https://… Messages are sent as a POST signed with the secret; see docs/alerts.md.")
    )
    host = _text(_("SMTP server"))
    port = forms.IntegerField(
        label=_("Port"), required=False, min_value=1, max_value=65_535,
        help_text=_("Empty: 587 with STARTTLS, 465 with TLS, 25 without."),
    )  # fmt: skip
    security = forms.ChoiceField(
        label=_("Security"), required=False,
        choices=[("starttls", "STARTTLS"), ("ssl", "TLS"), ("none", _("none: only within your own network"))],
    )  # fmt: skip
    username = _text(_("User name"), _("Empty: no authentication."))
    sender = _text(_("From"))
    recipients = forms.CharField(
        label=_("To"), required=False, widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Addresses, separated by commas or new lines."),
    )  # fmt: skip
    base_url = _text(_("Base URL"), _("Empty: the service itself."))
    secret = forms.CharField(
        label=_("Secret"), required=False, max_length=2000, strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"}),
    )  # fmt: skip

    class Meta:
        model = AlertChannel
        fields = ("name", "kind", "enabled", "per_second", "per_minute")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kept = self.instance.settings
        for name in kept.keys() & set(SETTINGS):
            value = kept[name]
            self.initial[name] = "\n".join(value) if isinstance(value, list) else value
        self.fields["secret"].help_text = self._about_secret()

    def _about_secret(self) -> str:
        what = gettext(
            "Telegram: the bot's token. Slack: the webhook's URL. JSON webhook: a key of your own to check "
            "the signature with. E-mail: the password. PagerDuty: the integration key."
        )
        if not self.instance.sealed_secret:
            return what
        try:
            _unused = self.instance.secret
        except UnreadableSecret as error:
            return f"▲ {error}. {what}"
        return gettext("● A secret is stored and never shown. Leave this empty to keep it. %(what)s") % {
            "what": what
        }

    def clean(self) -> dict[str, Any]:
        """Require what the kind needs, and nothing else."""
        data: dict[str, Any] = super().clean() or {}
        kind = data.get("kind", "")
        if kind and self.instance.sealed_secret and not data.get("secret"):
            self._keep_secret_where_it_was(kind, data)
        for name in REQUIRED.get(kind, ()):
            if not data.get(name) and not (name == "secret" and self.instance.sealed_secret):
                self.add_error(name, _("Required for this kind of channel."))
        for address in self._recipients(data) if kind == ChannelKind.EMAIL else ():
            self._check_address(address)
        if kind and not self.errors:
            self._check_usable(kind, data)
        return data

    def _keep_secret_where_it_was(self, kind: str, data: dict[str, Any]) -> None:
        """A kept secret goes where it was entered for, and nowhere else."""
        was = self.instance.kind
        if kind != was or (kind == ChannelKind.EMAIL and not data.get("username")):
            self.instance.sealed_secret = ""  # another service's, or a password nobody signs in with  # nosec B105 # it is empty
            if kind == ChannelKind.EMAIL and data.get("username"):
                self.add_error("secret", _ANOTHER_PLACE)
        elif destination(kind, self._settings(data)) != destination(was, self.instance.settings):
            self.add_error("secret", _ANOTHER_PLACE)

    def _check_address(self, address: str) -> None:
        try:
            validate_email(address)
        except forms.ValidationError:
            self.add_error("recipients", _("Not an e-mail address: %(text)s") % {"text": address})

    def _check_usable(self, kind: str, data: dict[str, Any]) -> None:
        """Check that the channel can work, as far as that shows without sending anything."""
        from monitoring.alerts.channels.parcels import Target
        from monitoring.alerts.channels.sending import unusable

        try:
            secret = data["secret"] or self.instance.secret
        except UnreadableSecret as error:
            self.add_error("secret", str(error))
            return
        if problem := unusable(Target(kind, self._settings(data), secret)):
            self.add_error(None, gettext("These settings cannot work: %(problem)s.") % {"problem": problem})

    def _settings(self, data: dict[str, Any]) -> dict[str, Any]:
        kept = {name: data[name] for name in OF_KIND[data["kind"]] if data.get(name)}
        if "recipients" in kept:
            kept["recipients"] = self._recipients(data)
        return kept

    def _recipients(self, data: dict[str, Any]) -> list[str]:
        return str(data.get("recipients", "")).replace(",", " ").replace(";", " ").split()

    def save(self, commit: bool = True) -> Any:
        """Save settings and secret, the latter sealed."""
        self.instance.settings = self._settings(self.cleaned_data)
        if secret := self.cleaned_data["secret"]:
            self.instance.secret = secret
        return super().save(commit)


def waiting_in_words(count: int) -> str:
    """Number of messages that wait, in words."""
    return ngettext("%(count)s message waits", "%(count)s messages wait", count) % {"count": f"{count:,}"}
