"""Characters that a command line must not hold, because a person cannot see what they do."""

import unicodedata

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def suspicious(text: str, *, words_only: bool = False) -> str | None:
    """Return why a text must be looked at by a person, or None. Control characters, bytes that are no text, zero-width
    and direction marks, unassigned and private characters.
    """
    if text.isascii():
        for c in text:
            if (c < " " and c not in "\t\n") or c == "\x7f":
                return f"control character U+{ord(c):04X}"
        return None
    for c in text:
        if c < "\x7f":
            if c < " " and c not in "\t\n":
                return f"control character U+{ord(c):04X}"
            continue
        category = unicodedata.category(c)
        if category == "Cs":
            return "bytes that are no text"
        if category in ("Cc", "Cf", "Co", "Cn", "Zl", "Zp") or c in _INVISIBLE:
            return f"invisible or control character U+{ord(c):04X}"
        if category == "Zs" or 0xFE00 <= ord(c) <= 0xFE0F or 0xE0100 <= ord(c) <= 0xE01EF:
            return f"a blank or selector that looks like nothing, U+{ord(c):04X}"
    return None


def recalls_history(text: str) -> bool:
    """Return True where an interactive shell would put words of its history: an exclamation mark that nothing quotes.

    Double quotes do not quote one, unless it is the last character in them; single quotes within double ones are text.
    """
    quote, index = "", 0
    while index < len(text):
        c = text[index]
        following = text[index + 1 : index + 2]
        if quote == "'":
            quote = "" if c == "'" else quote
        elif c == "\\":
            index += 1
        elif c == '"':
            quote = "" if quote else c
        elif c == "'" and not quote:
            quote = c
        elif c == "!" and following not in ("", " ", "\t", "\n", "=", "(") and not (quote and following == '"'):
            return True
        index += 1
    return False
