"""Read JSON of a foreign program: every access names what it expects, and says where the value differs.

`ShapeError` is how an adapter notices a version of a CLI that it does not know.
"""

from collections.abc import Mapping
from typing import Any, cast

Json = Mapping[str, Any]


class ShapeError(Exception):
    """A message of an agent CLI is not shaped as its adapter knows it; the text names the field."""


def mapping(value: Any, where: str) -> Json:
    """Return the value if it is a JSON object. Raises `ShapeError`."""
    if not isinstance(value, dict):
        raise ShapeError(f"{where}: an object is expected, not {type(value).__name__}")
    return cast(Json, value)


def member(source: Json, name: str, where: str = "") -> Json:
    """Return the object at `name`. Raises `ShapeError`."""
    return mapping(source.get(name), f"{where}.{name}" if where else name)


def optional_member(source: Json, name: str) -> Json:
    """Return the object at `name`; an empty one where there is none or null. Raises `ShapeError` for anything else."""
    return {} if source.get(name) is None else member(source, name)


def text(source: Json, name: str) -> str:
    """Return the text at `name`. Raises `ShapeError`."""
    value = source.get(name)
    if not isinstance(value, str):
        raise ShapeError(f"{name}: a text is expected, not {type(value).__name__}")
    return value


def optional_text(source: Json, name: str) -> str | None:
    """Return the text at `name`, None where there is none or null. Raises `ShapeError` for anything else."""
    return None if source.get(name) is None else text(source, name)


def whole(source: Json, name: str, default: int | None = None) -> int:
    """Return the number at `name`, cut to an integer. Raises `ShapeError`."""
    return int(number(source, name, default))


def number(source: Json, name: str, default: float | None = None) -> float:
    """Return the number at `name`. Raises `ShapeError`."""
    value = source.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ShapeError(f"{name}: a number is expected, not {type(value).__name__}")
    return value


def items(source: Json, name: str) -> list[Json]:
    """Return the objects of the list at `name`; an empty list where there is none. Raises `ShapeError`."""
    return [mapping(value, f"{name}[{at}]") for at, value in enumerate(values(source, name))]


def texts(source: Json, name: str) -> list[str]:
    """Return the texts of the list at `name`; an empty list where there is none. Raises `ShapeError`."""
    found = values(source, name)
    if not all(isinstance(value, str) for value in found):
        raise ShapeError(f"{name}: texts are expected")
    return found


def values(source: Json, name: str) -> list[Any]:
    """Return the list at `name`; an empty one where there is none or null. Raises `ShapeError`."""
    value = source.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ShapeError(f"{name}: a list is expected, not {type(value).__name__}")
    return cast(list[Any], value)


def maybe(value: Any) -> Json:
    """Return the value if it is a JSON object, else an empty one: for what may have any shape."""
    return cast(Json, value) if isinstance(value, dict) else {}


def maybe_list(value: Any) -> list[Any]:
    """Return the value if it is a JSON list, else an empty one."""
    return cast(list[Any], value) if isinstance(value, list) else []
