"""Reading the settings.

They come from, later ones winning: the defaults of `settings.py`, a TOML file (``townwatch.toml`` in the working
directory, or ``--config``), environment variables ``TOWNWATCH_<SECTION>_<OPTION>``, and the command line. An option
that does not exist or does not fit stops the start with one line that says where it stands and what was meant.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError

from townwatch.config.settings import ConfigError, DialSettings, IssuerSettings, OidcGrant, Settings

DEFAULT_FILE = "townwatch.toml"
ENV_PREFIX = "TOWNWATCH_"


def load(file: str | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the file (the default one may be missing) and the environment. Raises `ConfigError`."""
    environ = os.environ if environ is None else environ
    path = Path(file or DEFAULT_FILE)
    tables = _read(path) if file or path.exists() else {}
    variables = _apply_environment(tables, environ)
    return _structure(tables, str(path), variables)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: it is no text (no UTF-8 at byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None


_TABLES = (list[DialSettings], list[OidcGrant], list[IssuerSettings])
"""Options that are tables themselves: a file sets them, no variable can."""
OTHER_VARIABLES = frozenset(
    "ASK ASK_TOKEN OTLP SESSION KEPT DEBUG URL TOKEN TEST_ALL_AGENTS CHROMIUM KILLS POWER_CUTS SEED".split()
)
"""Variables that are no settings: of sessions, of this program itself, of the command line, of the tests."""


def _apply_environment(tables: dict[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """TOWNWATCH_SERVER_PORT=9000 is [server] port = 9000; lists are separated by commas. Return the variables that were
    used, by the option's place ("server.port").
    """
    used: dict[str, str] = {}
    known = {f"{ENV_PREFIX}{name}" for name in ("STATE_DIR", *OTHER_VARIABLES)}
    if state_dir := environ.get(f"{ENV_PREFIX}STATE_DIR"):
        tables["state_dir"] = state_dir
    for section in attrs.fields(Settings):
        if not attrs.has(cast(type, section.type)):
            continue
        for option in attrs.fields(section.type):
            if option.type in _TABLES:
                continue
            name = f"{ENV_PREFIX}{section.name}_{option.name}".upper()
            known.add(name)
            if (text := environ.get(name)) is not None:
                tables.setdefault(section.name, {})[option.name] = _parse(name, text, option.type)
                used[f"{section.name}.{option.name}"] = name
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX) and name not in known:
            raise ConfigError(f"environment: unknown variable {name}: {_did_you_mean(name, sorted(known))}")
    return used


def _did_you_mean(name: str, known: list[str]) -> str:
    # TOWNWATCH_PORT is meant as …_SERVER_PORT: the whole name is too far from it for difflib.
    ending = name.removeprefix(ENV_PREFIX.rstrip("_"))
    close = [one for one in known if one.endswith(ending)] or difflib.get_close_matches(name, known, n=1, cutoff=0.85)
    close = close or difflib.get_close_matches(name, known, n=1)
    return f"did you mean {' or '.join(close)}?" if close else "config/settings.py lists them; unset it"


def _parse(name: str, text: str, kind: Any) -> Any:
    """A variable's text as the option's type. Raises `ConfigError`, which names the variable, where it does not fit."""
    if kind in (bool, int, float):
        try:
            return _BOOLEANS[text.lower()] if kind is bool else kind(text)
        except (KeyError, ValueError):
            raise ConfigError(f"environment: {name}: must be {_NAMES[kind]}, not {text!r}") from None
    if kind == list[str]:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)

    def strict(value: Any, kind: Any) -> Any:
        fits = isinstance(value, (int, float) if kind is float else kind)
        if not fits or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"must be {_NAMES[kind]}, not {value!r}")
        return kind(value)

    def one_of(value: Any, kind: Any) -> Any:
        words = get_args(kind)
        if value not in words:
            raise TypeError(f"must be {', '.join(words[:-1])} or {words[-1]}, not {value!r}")
        return value

    for kind in _NAMES:
        converter.register_structure_hook(kind, strict)
    converter.register_structure_hook_func(lambda kind: get_origin(kind) is Literal, one_of)
    return converter


_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_NAMES: dict[type, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _structure(tables: dict[str, Any], source: str, variables: Mapping[str, str]) -> Settings:
    """`variables`: the place of an option ("server.port") → the variable that it comes from."""
    try:
        return _make_converter().structure(tables, Settings)
    except ClassValidationError as error:
        where, what = _first_complaint(error)
        if where in variables:
            raise ConfigError(f"environment: {variables[where]}: {what}") from None
        section, _, option = where.rpartition(".")
        raise ConfigError(f"{source}: {_section(section)}{option}{': ' if option else ''}{what}") from None
    except Exception as error:
        raise ConfigError(f"{source}: {error}") from None


def _first_complaint(error: BaseException, where: str = "") -> tuple[str, str]:
    """Return (place, complaint) of the innermost of cattrs' nested errors, as one line."""
    if isinstance(error, ForbiddenExtraKeysError):
        key = sorted(error.extra_fields)[0]
        known = [field.name for field in attrs.fields(error.cl)]
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        return f"{where}." if where else "", f"unknown option {key!r}: {hint}"
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseException", error.exceptions[0])
        name = next((note.name for note in getattr(inner, "__notes__", ()) if hasattr(note, "name")), "")
        return _first_complaint(inner, ".".join(part for part in (where, str(name)) if part))
    return where, "is missing: set it" if isinstance(error, KeyError) else str(error)


def _section(where: str) -> str:
    return f"[{where}] " if where else ""
