"""Wire types that keep the venue's own decimal text, derived from the float ones."""

import types
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Struct


def exact_twin(wire_type: Any) -> Any:
    """The same wire type with every float left undecoded (text, int, or Decimal by `float_hook`).

    Codecs are so written once: they turn these into Decimal when they were built `exact`.
    """
    if isinstance(wire_type, type) and issubclass(wire_type, Struct):
        return _struct_twin(wire_type)
    origin, arguments = get_origin(wire_type), get_args(wire_type)
    if wire_type is float or (origin in (Union, types.UnionType) and float in arguments):
        return Any
    if origin is None:
        return wire_type
    if origin is Annotated:
        return Annotated[(exact_twin(arguments[0]), *arguments[1:])]
    twins = tuple(map(exact_twin, arguments))
    return Union[twins] if origin in (Union, types.UnionType) else origin[twins]  # noqa: UP007


def _struct_twin(struct: type[Struct]) -> Any:
    config = struct.__struct_config__
    fields = msgspec.structs.fields(struct)
    return msgspec.defstruct(
        struct.__name__,
        [(field.name, exact_twin(field.type), *_default(field)) for field in fields],
        rename={field.name: field.encode_name for field in fields},
        array_like=config.array_like,
        gc=config.gc,
    )


def _default(field: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    if field.default_factory is not msgspec.NODEFAULT:
        return (msgspec.field(default_factory=field.default_factory),)
    return () if field.default is msgspec.NODEFAULT else (field.default,)
