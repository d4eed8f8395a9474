"""`townwatch run`, without the machinery of the other commands: people wait for their shell."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

from townwatch.cli.base import complain, log_to_file, own_runner, run_async, settings_of
from townwatch.cli.compiled import KeptScripts

VALUES = ("--name", "--state-dir", "--config", "-c")
FLAGS = ("--plain", "--quiet", "--qr")


def parse(words: list[str]) -> tuple[dict[str, str | bool], list[str]] | None:
    """Return the options and the command of `run [OPTIONS] -- COMMAND…`; None where it is written in another way."""
    options: dict[str, str | bool] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return (options, rest) if rest else None
        name, equals, value = word.partition("=")
        if word in FLAGS:
            options[word.lstrip("-")] = True
        elif name in VALUES and (equals or rest):
            key = {"-c": "config"}.get(name, name.lstrip("-").replace("-", "_"))
            options[key] = value if equals else rest.pop(0)
        else:
            return None
    return None


def run(
    command: list[str],
    *,
    name: str | None = None,
    plain: bool = False,
    quiet: bool = False,
    qr: bool = False,
    state_dir: str | None = None,
    config: str | None = None,
) -> int:
    """Run the command as a session and return its exit status."""
    if not command:
        return complain("which command? e.g. townwatch run -- bash")
    gc.disable()  # nothing that is imported is garbage, and looking for some takes a tenth of the start
    try:
        commands = imported()
        found = settings_of(config, state_dir)
        known = own_runner(found)
        log_to_file(found, "run.log")
        run_as = found.runner.run_as
    finally:
        gc.freeze()
        gc.enable()
    return run_async(
        lambda: commands.run_command(
            known, found.state, command, name=name, plain=plain, run_as=run_as, say_link=not quiet, qr=qr
        )
    )


def imported() -> ModuleType:
    """Import all that a session needs, in a third of the time that it would take otherwise; return the functions behind
    the command.
    """
    with KeptScripts(), _versions_unread():
        _import_structlog()
        from townwatch.runner import commands
    return commands


@contextmanager
def _versions_unread() -> Generator[None]:
    """Spare trio_websocket, which only asks for the version of trio, the reading of packages' metadata."""
    name = "importlib.metadata"
    if name in sys.modules:
        yield
        return
    stand_in = _Later(name)
    stand_in.version = _version  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]


def _version(package: str) -> str:
    """Return a package's version: its own word where it is imported, else its metadata's."""
    module = sys.modules.get(package)
    known = vars(module).get("__version__") if module is not None else None
    if isinstance(known, str):
        return known
    return _real("importlib.metadata").version(package)


def _import_structlog() -> None:
    """Import structlog without what it imports and we never use: rich and asyncio take as long as all else here."""
    if "structlog" in sys.modules:
        return
    aside: dict[str, Any] = {"asyncio": _Later("asyncio"), "rich": None}
    aside = {name: stand_in for name, stand_in in aside.items() if name not in sys.modules}
    sys.modules.update(aside)
    try:
        import structlog  # noqa: F401  # pyright: ignore[reportUnusedImport]
    finally:
        for name, stand_in in aside.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


def _real(name: str) -> ModuleType:
    """Import a module that another one may stand in for."""
    if isinstance(sys.modules.get(name), _Later):
        del sys.modules[name]
    return import_module(name)


class _Later(ModuleType):
    """A module that is imported when something is looked up in it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # only importing asks for those
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)
