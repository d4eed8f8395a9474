"""`townwatch run`, without the machinery of the other commands: people wait for their shell."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from townwatch.cli.base import complain, log_to_file, own_runner, run_async, settings_of

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
            if not options[key] and key != "name":
                return None  # said by those who know the options
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
        _import_structlog()
        from townwatch.runner import commands

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


def _import_structlog() -> None:
    """Import structlog without what it imports and we never use: rich and asyncio take as long as all else here."""
    if "structlog" in sys.modules:
        return
    aside = [name for name in ("asyncio", "rich") if name not in sys.modules]
    for name in aside:
        sys.modules[name] = _Later(name) if name == "asyncio" else None  # type: ignore[assignment]  # pyright: ignore
    try:
        import structlog  # noqa: F401  # pyright: ignore[reportUnusedImport]
    finally:
        for name in aside:
            del sys.modules[name]


class _Later(ModuleType):
    """A module that is imported when something is looked up in it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)
