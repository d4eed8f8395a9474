"""A village's two ids: the name that people and runners use, and the key that rows, rooms and the journal use.

A name can be given to a new village once its village is deleted; a key is never used twice. A key is the name, "~" and
random digits, so that the name can be read off it without a table: ``acme`` → ``acme~3f9c0a51be``. A name cannot
contain "~". Villages from before there were keys have their bare name as key; no new village gets a bare key.

Only the endpoints know both: what comes in is a name and is resolved in the database (or in a runner's grants), what
goes out is shown with `name_of` (rooms: `scopes.wire_room`).
"""

import secrets

SEPARATOR = "~"


def new_key(name: str) -> str:
    """Return a key for a new village of this name, different from every key so far."""
    return f"{name}{SEPARATOR}{secrets.token_hex(8)}"


def name_of(key: str) -> str:
    """Return the name that people know the village by."""
    return key.partition(SEPARATOR)[0]
