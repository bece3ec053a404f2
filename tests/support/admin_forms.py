"""Data a browser would send: every field of a form as the page has it."""

from html.parser import HTMLParser
from typing import Any

from django.test import Client

Fields = dict[str, list[str]]


class _Form(HTMLParser):
    """The fields of the form with an id, or of the last form of a page."""

    def __init__(self, form_id: str | None) -> None:
        super().__init__()
        self.fields: Fields = {}
        self._wanted, self._inside, self._select, self._text = form_id, False, "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name, kind = given.get("name", ""), given.get("type", "text")
        if tag == "form":
            self._inside = self._wanted in (None, given.get("id"))
            self.fields = {} if self._inside else self.fields
        elif not self._inside:
            return
        elif tag == "input" and name and kind not in ("submit", "checkbox", "radio", "file"):
            self._add(name, given.get("value", ""))
        elif tag == "input" and name and "checked" in given:
            self._add(name, given.get("value", "on"))
        elif tag == "select":
            self._select = name
        elif tag == "option" and "selected" in given and self._select:
            self._add(self._select, given.get("value", ""))
        elif tag == "textarea":
            self._text = name
            self._add(name, "")

    def handle_data(self, data: str) -> None:
        if self._text:
            self.fields[self._text][-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._text:
            kept = self.fields[self._text]
            kept[-1] = kept[-1].removeprefix("\n")
            self._text = ""
        elif tag == "select":
            self._select = ""
        elif tag == "form":
            self._inside = False

    def _add(self, name: str, value: str) -> None:
        self.fields.setdefault(name, []).append(value)


def fields_of(page: str, form_id: str | None = None) -> Fields:
    """The fields of a page's form."""
    form = _Form(form_id)
    form.feed(page)
    return form.fields


def opened(browser: Client, address: str, form_id: str | None = None) -> Fields:
    """Open a page and read its form."""
    answer = browser.get(address)
    assert answer.status_code == 200, (address, answer.status_code)
    return fields_of(answer.content.decode(), form_id)


def entered(fields: Fields, **changes: Any) -> dict[str, Any]:
    """The fields with what somebody enters; None empties a box."""
    out: dict[str, Any] = dict(fields)
    for name, value in changes.items():
        if value is None:
            out.pop(name, None)
        else:
            out[name] = value
    return out
