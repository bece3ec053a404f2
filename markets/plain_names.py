"""Names that read as they are written: what turns or hides text beside them has no place in them.

An exchange named with U+202E (right-to-left override) turned the `56 ms` beside it into `sm 65`. Unicode
calls them Cc (control), Cf (format: bidi controls, zero-width characters), Zl and Zp (line ends), Cs.
"""

from typing import Final
from unicodedata import category

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

_UNFIT: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def unfit_character(text: str) -> str:
    """The first character that has no place in a name, as `U+202E`; empty when there is none."""
    return next((f"U+{ord(each):04X}" for each in text if category(each) in _UNFIT), "")


def check_name(text: str) -> None:
    """Validate a name. Raises ValidationError naming the character."""
    if found := unfit_character(text):
        words = _("Remove the character %(found)s: it is invisible, or turns the text beside it.")
        raise ValidationError(words % {"found": found}, code="unfit_name")
