"""Parameters of a request as one of our structs; what does not fit is refused by name, with the remedy."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct, inspect, structs

from core.web.refused import Refused

T = TypeVar("T", bound=Struct)

MAX_BODY_BYTES: Final = 4_096
_SHOWN: Final = 60
"""Characters of a value that an error repeats."""

_FIELD: Final = re.compile(r"`\$\.(\w+)|field `(\w+)`")


def asked(given: Mapping[str, Any], kind: type[T], document: str) -> T:
    """The parameters of an address as a struct; an empty one is one that is not given.

    Raises Refused naming the parameter, what it takes, and the document that says more.
    """
    wanted = {name: value for name, value in given.items() if value not in ("", (), [])}
    try:
        found = msgspec.convert(wanted, kind, strict=False)
    except msgspec.ValidationError as problem:
        words = f"{in_words(problem, wanted, kind)}; {document} lists what may be asked"
        raise Refused(400, words) from None
    for name, value in structs.asdict(found).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise Refused(400, f"{name}: {value} is no number that anything can be compared with")
    return found


def body(content: bytes, kind: type[T]) -> T:
    """The JSON of a request as a struct. Raises Refused."""
    if len(content) > MAX_BODY_BYTES:
        raise Refused(413, f"a request is at most {MAX_BODY_BYTES} bytes")
    takes = f"this takes a JSON object with {', '.join(kind.__struct_fields__)}"
    try:
        given = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        what = "it is empty" if not content.strip() else f"it is no JSON ({problem})"
        raise Refused(400, f"the request's body: {what}; {takes}") from None
    if not isinstance(given, dict):
        raise Refused(400, f"the request's body: it is no object; {takes}")
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as problem:
        raise Refused(400, in_words(problem, given, kind)) from None


def in_words(problem: msgspec.ValidationError, given: Mapping[str, Any], kind: type[Struct]) -> str:
    """Name the field that does not fit, and what would."""
    named = _FIELD.search(str(problem))
    name = "" if named is None else named[1] or named[2]
    fields = {field.name: field.type for field in inspect.type_info(kind).fields}  # type: ignore[attr-defined]
    if name not in fields:
        return f"{name or 'the request'}: there is no such field; this takes {', '.join(fields)}"
    if name not in given:
        return f"{name}: missing; this takes {', '.join(fields)}"
    shown = str(given[name])
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    return f"{name}: {shown!r} must be {takes(fields[name])}"


def takes(kind: inspect.Type) -> str:
    """Values that a field accepts, for people."""
    match kind:
        case inspect.UnionType():
            return " or ".join(takes(each) for each in kind.types if not isinstance(each, inspect.NoneType))
        case inspect.LiteralType():
            return f"one of {', '.join(str(value) for value in kind.values if value != '')}"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            what = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
            return what + _bounds(kind)
        case inspect.VarTupleType() | inspect.ListType():
            return f"a list, of {takes(kind.item_type)} each"
    length = getattr(kind, "max_length", None)
    return "text" if length is None else f"text of at most {length} characters"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    above, low, high = ("" if at is None else f"{at:.10g}" for at in (kind.gt, kind.ge, kind.le))
    if above and high:
        return f" above {above}, {high} at most"
    return f" from {low} to {high}" if low and high else ""
