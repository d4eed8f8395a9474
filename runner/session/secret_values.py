"""Secret values of the environment, and the forms in which a program may print them."""

import base64
import json
import os
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from urllib.parse import quote, quote_plus

MIN_SECRET = 8
"""Shorter values are no secrets worth masking: "true" would vanish from every log."""
MIN_LINE = 12
"""Shorter lines of a secret of several lines are not masked by themselves."""
MAX_FORM = 16 * 1024
"""A longer form is looked for in parts of this length."""
KEEP_NAMES = frozenset({"TOWNWATCH_ASK", "TOWNWATCH_SESSION"})

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORDS = frozenset(
    "SECRET SECRETS TOKEN PASSWORD PASSWORDS PASSWD PASSPHRASE PASS PASSCODE PWD PSWD PW CREDENTIAL CREDENTIALS "
    "CREDS CRED AUTH BEARER JWT PAT COOKIE APIKEY AUTHTOKEN AUTHORIZATION".split()
)
_SECRET_ENDINGS = ("PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "SECRET", "APIKEY", "SSHPASS")
"""Of words written together: PGPASSWORD, CLIENTSECRET."""
_PUBLIC_KEYS = frozenset("PUBLIC PUB HOST KNOWN SORT PRIMARY FOREIGN CACHE PARTITION".split())
"""Words before KEY that name a public one."""
_DESCRIBING = frozenset(
    "SOCK SOCKET FILE FILES PATH DIR DIRECTORY HOME NAME USER USERNAME EMAIL TYPE METHOD MODE HOST PORT PROVIDER "
    "BACKEND TTL EXPIRY EXPIRES EXPIRATION TIMEOUT LENGTH SIZE LIMIT COUNT ENABLED DISABLED REQUIRED HEADER "
    "ALGORITHM ISSUER AUDIENCE SCOPE SCOPES ENDPOINT REGION VERSION FORMAT PREFIX HELPER COMMAND CMD".split()
)
"""Last words of names that tell something about a secret, and are none."""
_PLAIN_NAMES = frozenset(
    "HOME USER LOGNAME USERNAME PWD OLDPWD SHELL HOSTNAME HOST LANG LC_ALL TERM TMPDIR EDITOR VISUAL PATH "
    "VIRTUAL_ENV NAME COMPUTERNAME".split()
)
_COMMON = frozenset(
    "true false yes no on off none null undefined enabled disabled required optional automatic default localhost "
    "127.0.0.1 development production staging testing test example password username postgres postgresql "
    "anonymous administrator root keychain keyring plaintext basic bearer token secret".split()
)
"""Values that stand in any text."""
_PATH = re.compile(r"/(?:home|Users|usr|etc|var|tmp|opt|run|private|root|srv|mnt|proc|dev|bin)(?:/[\w .@-]+)*/?")
_IN_URL = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]{0,31}://[^/\s:@]{0,256}:([^/\s@]+)@")
_WRAPS = (76, 64)
"""Where `base64` and `openssl` break their lines."""


def secrets_of(environment: Mapping[str, str]) -> list[str]:
    """The values of variables that are secret by their name, and passwords in URLs; longest first."""
    plain = {environment[name] for name in _PLAIN_NAMES if name in environment}
    found = {value for name, value in environment.items() if is_secret_name(name)}
    found |= {match[1] for value in environment.values() if (match := _IN_URL.match(value)) is not None}
    return sorted((value for value in found if value not in plain and is_worth_masking(value)), key=len, reverse=True)


def is_secret_name(name: str) -> bool:
    """Return whether a variable's name says that its value is secret: by its words, never by letters within one."""
    words = [word.upper() for word in _WORDS.findall(name)]
    if not words or name in KEEP_NAMES or name in _PLAIN_NAMES or words[-1] in _DESCRIBING:
        return False
    if words[-1] == "ID" and len(words) > 1 and words[-2] in ("KEY", "TOKEN", "CLIENT"):
        return False
    if any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDINGS) for word in words):
        return True
    return words == ["KEY"] or any(word == "KEY" and before not in _PUBLIC_KEYS for before, word in pairwise(words))


def is_worth_masking(value: str) -> bool:
    """Return whether a value is long and rare enough that masking it hides a secret and not half of the text."""
    text = value.strip()
    return (
        len(text) >= MIN_SECRET
        and len(set(text)) > 2
        and text.lower() not in _COMMON
        and _PATH.fullmatch(text) is None
        and text not in (os.sep, os.path.expanduser("~"))
    )


def forms_of(secret: str) -> set[str]:
    """All the texts by which a secret may be printed."""
    forms = {secret, secret.strip()}
    lines = [line.strip() for line in secret.splitlines()]
    if len(lines) > 1:
        forms.add("\r\n".join(secret.split("\n")))  # as a terminal shows it
        forms |= {line for line in lines if len(line) >= MIN_LINE and not line.startswith("-----")}
    for text in list(forms):
        forms |= {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    for text in {secret, secret.strip()}:
        for percent in (
            quote(text, safe="", errors="replace"),
            quote(text, errors="replace"),
            quote_plus(text, errors="replace"),
        ):
            forms |= {percent, re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), percent)}
        forms |= _base64(text.encode(errors="replace"))
    return {part for form in forms for part in _parts(form) if len(part) >= MIN_SECRET}


def _base64(secret: bytes) -> set[str]:
    """The part of its base64 that does not depend on the text around it, for each alignment; and in wrapped lines."""
    forms: set[str] = set()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret).decode()
        whole = encoded[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]
        forms |= {whole, whole.replace("+", "-").replace("/", "_")}
        if before == 0:
            for width in _WRAPS:
                if len(whole) > width:
                    forms |= {line for line in _cut(whole, width) if len(line) >= MIN_LINE}
    return forms


def _parts(form: str) -> Iterable[str]:
    return _cut(form, MAX_FORM) if len(form) > MAX_FORM else (form,)


def _cut(text: str, width: int) -> list[str]:
    return [text[at : at + width] for at in range(0, len(text), width)]
