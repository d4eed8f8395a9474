"""Input that is a key rather than text: what keys send to a terminal. Pure."""


def is_text(data: str) -> bool:
    """Return whether typed data is more than one keystroke: text with an Enter behind it, or a pasted piece. While an
    agent shows a dialog, such text could answer it by accident; a single key of a person who sees the dialog may.

    >>> [is_text(data) for data in ("y", "\\r", "\\x1b[A", "yes\\r", "1\\r", "\\x1b[200~yes")]
    [False, False, False, True, True, True]
    """
    if data.startswith("\x1b"):
        return len(data) > 16 or "~" in data[:-1]
    printable = sum(character.isprintable() for character in data)
    return printable > 1 or (printable == 1 and len(data) > 1)
