"""Names that read as they are written: what turns or hides text beside them has no place in them.

An exchange named with U+202E (right-to-left override) turned the `56 ms` beside it into `sm 65`. Unicode
calls such characters Cc (control: escape sequences of terminals, line ends of headers), Cf (format: bidi
controls, zero-width characters), Zl and Zp (line ends), Cs. Some of what it calls letters and marks, like
U+3164, draws nothing either. What an operator enters is refused with them, rows of a catalogue are left out,
and what is kept from before is shown without. Plain Python.
"""

import re
from typing import Final
from unicodedata import bidirectional, category

_UNFIT: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_TURNS: Final = frozenset({"R", "AL", "AN"})
_ISOLATE, _ENDS = "\u2068", "\u2069"
_ISOLATED: Final = re.compile(f"{_ISOLATE}[^\u2066-\u2069]*{_ENDS}")
_LINES: Final = frozenset("\n\r\t")
_BLANK: Final = (
    r"\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef"
)
"""Letters, marks and signs that draw nothing (those behind a sign that make it an emoji are taken)."""
_DRAWS_NOTHING: Final = re.compile(f"[{_BLANK}]")
FORMULA: Final = (
    r"^(?:[\s\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe0e\ufe0f\ufeff" + _BLANK + r"]*"
    r"[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])"
)
"""How a text begins that a spreadsheet takes for a formula: full-width signs, too, and behind the unseen."""

STANDS_FOR: Final = "\ufffd"


def unfit_character(text: str, *, lines: bool = False) -> str:
    """The first character that has no place in a name, as `U+202E`; empty when there is none.

    With `lines` it is a text of several, which may break and be indented.
    """
    if _is_fit(text):
        return ""
    return next((f"U+{ord(each):04X}" for each in text if _is_unfit(each, lines)), "")


def plain(text: str, *, lines: bool = False) -> str:
    """The text with � for each unfit character, so that it can be shown wherever text is.

    What `isolated` made stays: all that it does is to keep its content to itself.
    """
    if _is_fit(text):
        return text
    made = {at for each in _ISOLATED.finditer(text) for at in (each.start(), each.end() - 1)}
    return "".join(
        STANDS_FOR if _is_unfit(each, lines) and at not in made else each for at, each in enumerate(text)
    )


def isolated(text: str) -> str:
    """A name as it goes into a sentence: one of right-to-left letters does not turn the numbers beside it."""
    harmless = plain(text)
    if harmless.isascii() or not any(bidirectional(each) in _TURNS for each in harmless):
        return harmless
    return f"{_ISOLATE}{harmless}{_ENDS}"


def escaped(text: str) -> str:
    """The text for a terminal or a log: each unfit character as `\\x1b` or `\\u202e`, lines kept."""
    if _is_fit(text):
        return text
    return "".join(ascii(each)[1:-1] if _is_unfit(each, True) or each == "\r" else each for each in text)


def no_formula(text: str) -> str:
    """A text for a CSV file, which no spreadsheet takes for a formula."""
    return f"'{text}" if re.match(FORMULA, text) else text


def check_name(text: str) -> None:
    """Validate a name. Raises ValidationError naming the character."""
    _check(text, lines=False)


def check_text(text: str) -> None:
    """Validate a text of several lines. Raises ValidationError naming the character."""
    _check(text, lines=True)


def _check(text: str, *, lines: bool) -> None:
    if found := unfit_character(text, lines=lines):
        from django.core.exceptions import ValidationError
        from django.utils.translation import gettext as _

        words = _("Remove the character %(found)s: it is invisible or reverses the text beside it.")
        raise ValidationError(words % {"found": found}, code="unfit_name")


def _is_fit(text: str) -> bool:
    return text.isprintable() and not _DRAWS_NOTHING.search(text)


def _is_unfit(character: str, lines: bool) -> bool:
    hides = category(character) in _UNFIT or _DRAWS_NOTHING.match(character)
    return bool(hides) and not (lines and character in _LINES)
