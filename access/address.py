"""E-mail addresses: what can be one."""

import re

_EMAIL = re.compile(r"[^\s@]{1,256}@[^\s@]{1,256}")


def is_email_address(text: str) -> bool:
    """Return whether a text can be an e-mail address: one @ with something on both sides, no blanks and nothing unseen,
    at most 320 characters. Never cut one to that length: what is left may be an address in another domain.
    """
    return len(text) <= 320 and text.isprintable() and _EMAIL.fullmatch(text) is not None
