"""One decoder and one encoder for everything on a wire.

The messages are attrs classes with snake_case fields; the wire is camelCase. msgspec cannot rename the fields of an
attrs class, so each class gets a *twin*: a ``msgspec.Struct`` of the same shape with ``rename="camel"``. Decoding fills
the twin (strict: a ``5`` is no ``str``; NaN, lone surrogates and trailing bytes are refused) and hands its values to
the attrs class.

A field whose default is ``None`` is optional: left out of the wire when it is ``None``, never sent as null.
"""

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from typing import Annotated, Any, Generic, TypeVar, Union, cast, get_args, get_origin
from weakref import WeakSet

import attrs
import msgspec

from townwatch.contracts.decoding.patterns import as_written, to_the_end
from townwatch.contracts.decoding.wording import camel as camel, in_json_words

T = TypeVar("T")

MAX_MESSAGE_BYTES = 1 << 20
"""No single JSON text on any wire is longer than this (1 MiB)."""


@attrs.frozen
class ContractError(ValueError):
    """A message breaks the contract: `field` is the wire's path to the culprit ("" for the whole message)."""

    field: str
    message: str
    code: str = "E_BAD_PAYLOAD"

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


# --- twins ---------------------------------------------------------------------------------------


@attrs.frozen
class _Twin:
    struct: type[msgspec.Struct]
    to_attrs: Callable[[Any], Any]
    to_struct: Callable[[Any], Any]


def _twin_type(annotation: Any) -> Any:
    """The annotation with every attrs class in it replaced by its twin's struct."""
    if isinstance(annotation, type) and attrs.has(annotation):
        return twin(annotation).struct
    origin = get_origin(annotation)
    if origin is None:
        return annotation
    args = tuple(_twin_type(arg) for arg in get_args(annotation))
    if origin is Annotated:
        return Annotated[(args[0], *map(_exact, cast(Any, annotation).__metadata__))]
    if origin in (Union, types.UnionType):
        return Union[args]  # noqa: UP007 - built at run time
    if origin is typing.Literal:
        return annotation
    return origin[args]


_META = tuple(name for name in dir(msgspec.Meta) if not name.startswith("_"))


def _exact(meta: Any) -> Any:
    if not isinstance(meta, msgspec.Meta) or meta.pattern is None:
        return meta
    said: dict[str, Any] = {name: getattr(meta, name) for name in _META}
    said["pattern"] = to_the_end(meta.pattern)
    return msgspec.Meta(**said)


def schemas_of(classes: Sequence[type[Any]], template: str) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """JSON Schemas of messages, and of what they consist of by name. `template`: of a reference, with ``{name}``."""
    found = msgspec.json.schema_components([twin(cls).struct for cls in classes], ref_template=template)
    schemas, components = cast("tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]", found)
    _write_patterns([list(schemas), components])
    return list(schemas), components


def _write_patterns(value: Any) -> None:
    if isinstance(value, dict):
        schema = cast("dict[str, Any]", value)
        if isinstance(schema.get("pattern"), str):
            schema["pattern"] = as_written(schema["pattern"])
        for part in schema.values():
            _write_patterns(part)
    elif isinstance(value, list):
        for part in cast("list[Any]", value):
            _write_patterns(part)


def _contains_attrs(annotation: Any) -> bool:
    if isinstance(annotation, type) and attrs.has(annotation):
        return True
    return any(_contains_attrs(arg) for arg in get_args(annotation))


_PLAIN: frozenset[type[Any]] = frozenset({str, int, float, bool, bytes, type(None)})
_is_message = cache(attrs.has)


def _rebuild_from_struct(value: Any) -> Any:
    """Turn twin values into attrs values, inside lists and mappings too."""
    if isinstance(value, msgspec.Struct):
        return _ATTRS_OF[type(value)].to_attrs(value)
    if isinstance(value, list):
        return [_rebuild_from_struct(item) for item in cast(list[Any], value)]
    if isinstance(value, dict):
        return {k: _rebuild_from_struct(v) for k, v in cast(dict[Any, Any], value).items()}
    return value


def _rebuild_from_attrs(value: Any) -> Any:
    """Turn attrs values into twin values, inside lists and mappings too."""
    cls = cast(type[Any], type(value))
    if cls in _PLAIN:
        return value
    if _is_message(cls):
        return twin(cls).to_struct(value)
    if isinstance(value, list | tuple):
        return [_rebuild_from_attrs(item) for item in cast(list[Any], value)]
    if isinstance(value, Mapping):
        return {k: _rebuild_from_attrs(v) for k, v in cast(Mapping[Any, Any], value).items()}
    return value


def _fresh(default: Any) -> Callable[[], Any]:
    factory = getattr(default, "factory", None)
    return (lambda: factory()) if factory else (lambda: default)


def _copier(make: Callable[..., Any], names: list[str], deep: list[bool], rebuild: Callable[[Any], Any]) -> Any:
    """Compile value → make(a=value.a, …), once a class: a loop over the names costs three times as much."""
    fields = [
        f"{name}=rebuild(value.{name})" if d else f"{name}=value.{name}" for name, d in zip(names, deep, strict=True)
    ]
    return eval(f"lambda value: make({', '.join(fields)})", {"make": make, "rebuild": rebuild})


_ATTRS_OF: dict[type[msgspec.Struct], _Twin] = {}


@cache
def twin(cls: type[Any]) -> _Twin:
    """The msgspec struct of an attrs class, and the two conversions. A class attribute `TYPE` is the ``type`` tag."""
    attrs.resolve_types(cls, include_extras=True)
    fields = attrs.fields(cls)
    definition: list[Any] = []
    for field in fields:
        kind = _twin_type(field.type)
        default = field.default
        if default is attrs.NOTHING:
            definition.append((field.name, kind))
        elif default is None:
            definition.append((field.name, kind, None))
        else:  # behind a lambda, so that omit_defaults leaves out what is None and nothing else
            definition.append((field.name, kind, msgspec.field(default_factory=_fresh(default))))
    tag: str | None = getattr(cls, "TYPE", None)
    struct = msgspec.defstruct(
        cls.__name__,
        definition,
        rename="camel",
        kw_only=True,
        omit_defaults=True,
        tag_field="type" if tag else None,
        tag=tag,
    )
    names, deep = [field.name for field in fields], [_contains_attrs(field.type) for field in fields]
    to_attrs = _copier(cls, names, deep, _rebuild_from_struct)
    to_struct = _copier(struct, names, deep, _rebuild_from_attrs)
    made = _ATTRS_OF[struct] = _Twin(struct, to_attrs, to_struct)
    return made


def _exact_struct(cls: type[Any]) -> type[msgspec.Struct]:
    """The twin's struct, which here refuses fields that it does not know."""
    base = twin(cls).struct
    tag: str | None = getattr(cls, "TYPE", None)
    struct = msgspec.defstruct(
        cls.__name__,
        (),
        bases=(base,),
        rename="camel",
        kw_only=True,
        forbid_unknown_fields=True,
        tag_field="type" if tag else None,
        tag=tag,
    )
    _ATTRS_OF[struct] = twin(cls)
    return struct


# --- decode and encode ---------------------------------------------------------------------------


def contract_error(error: Exception, *classes: type[Any]) -> ContractError:
    """Return msgspec's error in the contract's words: the wire's path to the field, and what was wrong with it."""
    return ContractError(*in_json_words(str(error), classes))


class Decoder(Generic[T]):
    """bytes → an instance of one of `classes` (told apart by their `TYPE` when there are several).

    Raises `ContractError` for anything else: bad JSON, a wrong type, a missing field, too long, too deep. Twins are
    made at the first use: a command that decodes three kinds of message does not wait for those of all the others.
    """

    def __init__(self, *classes: type[T], max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._classes = classes
        self._max_bytes = max_bytes
        _decoders.add(self)

    def prepare(self) -> None:
        """Make now what the first use would."""
        _ = self._decoder, self._exact

    @cached_property
    def _types(self) -> Any:
        return Union[tuple(twin(cls).struct for cls in self._classes)]  # noqa: UP007

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self._types)

    @cached_property
    def _exact(self) -> msgspec.json.Decoder[Any]:
        structs = tuple(_exact_struct(cls) for cls in self._classes)
        return msgspec.json.Decoder(Union[structs])  # noqa: UP007

    def decode_exact(self, data: bytes | msgspec.Raw) -> T | None:
        """The message in `data`; None if it has unknown fields or is unusual in another way."""
        if len(memoryview(data)) > self._max_bytes:
            return None
        try:
            struct = self._exact.decode(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        return _ATTRS_OF[type(struct)].to_attrs(struct)

    def decode(self, data: bytes | str | msgspec.Raw) -> T:
        """The message in `data`."""
        if len(memoryview(data) if isinstance(data, msgspec.Raw) else data) > self._max_bytes:
            raise ContractError("", f"message is longer than {self._max_bytes} bytes", "E_TOO_LARGE")
        try:
            struct = self._decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise contract_error(error, *self._classes) from None
        return _ATTRS_OF[type(struct)].to_attrs(struct)

    def convert(self, value: Any) -> T:
        """The same from already decoded JSON (dicts and lists), as Socket.IO handlers get it."""
        try:
            struct = msgspec.convert(value, self._types)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise contract_error(error, *self._classes) from None
        return _ATTRS_OF[type(struct)].to_attrs(struct)


_decoders: WeakSet[Decoder[Any]] = WeakSet()


def prepare_decoders() -> None:
    """Make what the first use of each decoder would: a service that listens has no such moments."""
    for decoder in list(_decoders):
        decoder.prepare()


_encoder = msgspec.json.Encoder()


def encode(message: Any) -> bytes:
    """Encode to one JSON text: an attrs message (camelCase, optional fields left out), or plain JSON values with such
    inside.
    """
    return _encoder.encode(_rebuild_from_attrs(message))


def to_json_values(message: Any) -> Any:
    """As `encode`, but dicts and lists instead of bytes."""
    if type(message) in _PLAIN:
        return message
    return msgspec.to_builtins(_rebuild_from_attrs(message))


def decode_json(data: bytes | str, *, max_bytes: int = MAX_MESSAGE_BYTES) -> Any:
    """Decode any JSON value; refuse what `json.loads` lets through (NaN, lone surrogates, endless depth)."""
    if len(data) > max_bytes:
        raise ContractError("", f"message is longer than {max_bytes} bytes", "E_TOO_LARGE")
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise contract_error(error) from None
