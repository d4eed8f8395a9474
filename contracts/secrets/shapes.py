"""Secrets that are known by their shape. The runner masks them before anything is sent; the service before anything is
stored: its second line of defence, and the only one for runners that are not ours.
"""

from typing import Any, cast

import msgspec

from townwatch.contracts.secrets.literal_search import LiteralSearch
from townwatch.contracts.secrets.scanner import BEGINNINGS, LITERALS, find_secrets, merged

MASK = "••••••"
_ESCAPES = LiteralSearch([f"\\u00{digit}" for digit in "234567"])
"""An ASCII character that is written as a JSON escape: nothing can be told from such bytes before they are decoded."""
REFERENCES = frozenset({"type", "sessionId", "orgId", "approvalId", "alertId", "agentId", "providerId"})
"""Names that other code refers to: never changed."""

__all__ = ["BEGINNINGS", "MASK", "REFERENCES", "cut_out", "masked_event", "masked_text"]


def masked_text(text: str) -> str:
    """The text without anything of a known shape. Linear in its length."""
    if not LITERALS.is_in(text):
        return text
    return cut_out(text, find_secrets(text).spans)


def cut_out(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with the mask in place of each of the spans."""
    if not spans:
        return text
    given: list[str] = []
    at = 0
    for begin, end in merged(spans):
        given += [text[at:begin], MASK]
        at = end
    return "".join([*given, text[at:]])


def masked_event(body: bytes) -> bytes:
    """An event's JSON with secrets masked in all of its texts; the very same object where there are none.

    Sees only what is within one event: a secret that a terminal's output is cut in the middle of is for the runner,
    which holds back what may be the beginning of one.
    """
    raw = body.decode("utf-8", "surrogateescape")
    if not LITERALS.is_in(raw) and not ("\\u00" in raw and _ESCAPES.is_in(raw)):
        return body
    event = cast(dict[str, Any], msgspec.json.decode(body))
    return msgspec.json.encode(event) if _mask_in_place(event) else body


def _mask_in_place(event: dict[str, Any]) -> bool:
    """Mask all texts in it; whether there were any. Without recursion: what the decoder takes is never too deep."""
    changed = False
    held: list[dict[str, Any] | list[Any]] = [event]
    while held:
        holder = held.pop()
        places = list(holder.items()) if isinstance(holder, dict) else list(enumerate(holder))
        for place, value in places:
            if isinstance(value, dict | list):
                held.append(cast(dict[str, Any] | list[Any], value))
            elif isinstance(value, str) and place not in REFERENCES and (shown := masked_text(value)) is not value:
                changed = True
                holder[place] = shown  # pyright: ignore[reportArgumentType, reportCallIssue]
        if isinstance(holder, dict) and holder is not event:
            changed = _mask_names(holder) or changed
    return changed


def _mask_names(held: dict[str, Any]) -> bool:
    """Mask the names of a dict's values, in order; whether there were any."""
    names = {name: masked_text(name) for name in held}
    if all(name is shown for name, shown in names.items()):
        return False
    entries = [(names[name], value) for name, value in held.items()]
    held.clear()
    held.update(entries)
    return True
