"""Errors of a message in the words of JSON: the decoder's own texts speak of Python's types."""

import re
import typing
from collections.abc import Iterable
from typing import Any, get_args, get_origin

import attrs

from townwatch.contracts.decoding.patterns import WORDS, as_written

_PATH = re.compile(r" - at `(?:key in )?`?\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")
_UNKNOWN = re.compile(r"contains unknown field `([^`]+)`")
_WRONG_TYPE = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_LENGTH = re.compile(r"Expected `(str|array|object)` of length ([<>]=|==) (\d+)")
_RANGE = re.compile(r"Expected `(?:int|float)` ([<>]=?) (\S+)")
_PATTERN = re.compile(r"Expected `str` matching regex '(.*)'")
_NOT_ONE_OF = re.compile(r"Invalid (?:enum )?value (.+)")
_MALFORMED = re.compile(r"JSON is malformed: (.*)")

_NAMES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "int | float": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_FOUND = {**_NAMES, "bool": "a boolean"}
_UNITS = {"str": "character", "array": "item", "object": "entry"}
_BOUNDS = {">=": "at least", "<=": "at most", "==": "exactly", ">": "more than", "<": "less than"}


def camel(name: str) -> str:
    """Turn ``session_id`` into ``sessionId``."""
    head, *tail = name.rstrip("_").split("_")
    return head + "".join(part.title() for part in tail)


def in_json_words(text: str, classes: Iterable[type[Any]] = ()) -> tuple[str, str]:
    """(path of the field on the wire, what was wrong with it) of an error text of msgspec. `classes`: what was decoded
    into, to name the values that a field may have.
    """
    path, message = "", text
    if found := _PATH.search(text):
        path, message = found[1], text[: found.start()]
    if found := _MISSING.search(message):
        return (f"{path}.{found[1]}" if path else found[1]), "is required"
    if found := _UNKNOWN.search(message):
        return (f"{path}.{found[1]}" if path else found[1]), "is not a field of this message"
    return path, _said(message, path, classes).replace("`", "")


def _said(message: str, path: str, classes: Iterable[type[Any]]) -> str:
    if found := _WRONG_TYPE.fullmatch(message):
        return f"must be {_any_of(found[1])}, not {_FOUND.get(found[2], found[2])}"
    if found := _LENGTH.fullmatch(message):
        unit = _UNITS[found[1]]
        many = unit if found[3] == "1" else {"entry": "entries"}.get(unit, f"{unit}s")
        return f"must have {_BOUNDS[found[2]]} {found[3]} {many}"
    if found := _RANGE.fullmatch(message):
        return f"must be {_BOUNDS[found[1]]} {found[2]}"
    if found := _PATTERN.fullmatch(message):
        pattern = as_written(found[1].replace("\\\\", "\\"))
        return WORDS.get(pattern, f"must match the pattern {pattern}")
    if found := _NOT_ONE_OF.fullmatch(message):
        known = _values(path, classes)
        return f"must be one of {', '.join(known)}, not {found[1]}" if known else f"must not be {found[1]}"
    if found := _MALFORMED.fullmatch(message):
        return f"this is not valid JSON: {found[1]}"
    if message == "Input data was truncated":
        return "this is not valid JSON: it ends too early"
    if "recursion" in message:
        return "is nested too deeply"
    return "is a number that is too large" if message == "Number out of range" else message


def _any_of(kinds: str) -> str:
    """``str | null`` → ``a string or null``."""
    if kinds in _NAMES:
        return _NAMES[kinds]
    names = [name for kind in kinds.split(" | ") for name in _NAMES.get(kind, kind).split(" or ")]
    names = list(dict.fromkeys(names))
    return " or ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} or {names[-1]}"


def _values(path: str, classes: Iterable[type[Any]]) -> list[str]:
    """The values that the field at `path` may have, where its type lists them."""
    kinds: list[Any] = list(classes)
    for step in re.findall(r"[^.\[\]]+|\[[^\]]*\]", path):
        kinds = [inner for kind in kinds for inner in _within(kind, step)]
    found = [value for kind in kinds for value in _literals(kind)]
    return [value for value in dict.fromkeys(found) if value]


def _within(kind: Any, step: str) -> list[Any]:
    """The types of what is at `step` in a value of type `kind`."""
    origin, args = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and attrs.has(kind):
        if step == "type":
            return [typing.Literal[tag] for tag in [getattr(kind, "TYPE", "")]]
        attrs.resolve_types(kind, include_extras=True)
        return [field.type for field in attrs.fields(kind) if camel(field.name) == step]
    if origin in (list, dict, tuple) and step.startswith("["):
        return [args[-1] if origin is dict else args[0]]
    return [inner for arg in args if origin not in (list, dict, tuple) for inner in _within(arg, step)]


def _literals(kind: Any) -> list[str]:
    if get_origin(kind) is typing.Literal:
        return [str(value) for value in get_args(kind)]
    return [value for arg in get_args(kind) for value in _literals(arg)]
