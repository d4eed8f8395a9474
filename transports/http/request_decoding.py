"""Decoding of requests: bodies and query parameters into the attrs classes of the contract, strictly."""

from collections import Counter
from functools import cache
from typing import Any, cast
from urllib.parse import parse_qsl

import attrs
import msgspec

from townwatch.contracts.codec import ContractError, Decoder, camel, contract_error, decode_json, twin
from townwatch.transports.http.operation import Operation
from townwatch.transports.http.problems import JSON, ProblemError

MAX_FIELDS = 64
EXACT = 2.0**53
"""Floats below this are whole numbers without doubt."""


@cache
def _decoder(cls: type[Any]) -> Decoder[Any]:
    return Decoder(cls)


def body_of(operation: Operation, content: bytes, content_type: str | None, encoding: str | None) -> Any:
    """The body as the operation's class. Raises `ContractError` (400, 413) or `ProblemError` (415)."""
    if encoding not in (None, "", "identity"):
        raise ProblemError(415, f"the body must not be compressed, and its Content-Encoding is {encoding[:40]}")
    if operation.body is None:
        return None
    if not content and operation.body_optional:
        return operation.body()
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise ProblemError(415, f"the body must be {JSON}" + (f", not {media_type[:80]}" if media_type else ""))
    if not content:
        raise ContractError("", "a JSON body is required")
    body = _decoder(operation.body).convert(_whole(decode_json(content)))
    check = getattr(body, "check", None)
    if check is not None:
        check()
    return body


def _whole(value: Any) -> Any:
    """Turn 1.0 into 1: JSON knows no difference between them, our classes do."""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in cast("dict[str, Any]", value).items()}
    return value


def query_of(operation: Operation, text: str) -> Any:
    """Read the query parameters as the operation's class. An unknown one is refused: it would have been a typo."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except (ValueError, UnicodeError):
        raise ContractError("", "the query cannot be read: it must be name=value&… in UTF-8, percent-encoded") from None
    known = _names(operation.query) if operation.query else ()
    for name, count in Counter(name for name, _ in pairs).items():
        if name not in known:
            told = f"known are {', '.join(known)}" if known else "there are none here"
            raise ContractError(name[:100], f"is not a parameter of this address; {told}")
        if count > 1:
            raise ContractError(name, "is there more than once; give it once")
    if operation.query is None:
        return None
    made = twin(operation.query)
    try:
        query = made.to_attrs(msgspec.convert(dict(pairs), made.struct, strict=False))
    except (msgspec.MsgspecError, UnicodeError) as error:
        wrong = contract_error(error, operation.query)
        raise attrs.evolve(wrong, message=wrong.message.removesuffix(", not a string")) from None
    given = {name for name, _ in pairs}
    for name, field in zip(known, attrs.fields(operation.query), strict=True):
        if name in given and getattr(query, field.name) is None:  # the text "null" is no null
            raise ContractError(name, "must not be null; leave it out instead")
    return query


@cache
def _names(cls: type[Any]) -> tuple[str, ...]:
    return tuple(camel(field.name) for field in cls.__attrs_attrs__)
