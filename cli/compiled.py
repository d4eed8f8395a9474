"""Keeps what attrs and dataclasses compile: they write methods as text, and compiling it anew at each start is a third
of what `townwatch run` imports. Standard library only.

A script is found by its whole text, so what is kept can be old or of another version and never wrong. It lies beside
our byte code, with the same rights and by the same rules (PYTHONDONTWRITEBYTECODE, a directory that is not writable).
"""

from __future__ import annotations

import marshal
import os
import sys
import zlib
from contextlib import suppress
from types import CodeType, TracebackType
from typing import Any, cast

from townwatch import __version__

MOST = 2000
"""Scripts kept; beyond it only those of the latest start."""
Key = tuple[str, str]
"""Text and file name of a script."""


class KeptScripts:
    """Gives attrs and dataclasses the code that was kept while it is entered; keeps what was new when it is left."""

    def __init__(self, file: str | None = None) -> None:
        """`file`: where scripts are; by default beside the byte code of this module, if that is kept at all."""
        cached = getattr(__spec__, "cached", None)
        self._file = file or (f"{os.path.splitext(cached)[0]}.scripts" if cached else None)
        self._version = f"{__version__} {sys.version}"
        self._known: dict[Key, CodeType] = {}
        self._used: dict[Key, CodeType] = {}

    def __enter__(self) -> KeptScripts:
        self._known = self._load()
        import dataclasses

        import attr._make as makers

        self._modules = [cast("dict[str, Any]", vars(module)) for module in (makers, dataclasses)]
        self._modules[0]["compile"] = self._compile  # the name that these modules look up before the built-in one
        self._modules[0]["hash"] = _lasting_hash
        self._modules[1]["exec"] = self._exec
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._modules[0].pop("compile", None)
        self._modules[0].pop("hash", None)
        self._modules[1].pop("exec", None)
        if self._file is not None and not sys.dont_write_bytecode and not self._used.keys() <= self._known.keys():
            self._save(self._file)

    def _compile(self, text: Any, name: str, mode: str, *more: Any, **options: Any) -> Any:
        if not isinstance(text, str) or mode != "exec" or more or options:
            return compile(text, name, mode, *more, **options)
        return self._code(text, name)

    def _exec(self, text: Any, *spaces: Any) -> None:
        exec(self._code(text, "<string>") if isinstance(text, str) else text, *spaces)

    def _code(self, text: str, name: str) -> CodeType:
        key = (text, name)
        found = self._known.get(key)
        if found is None:
            found = compile(text, name, "exec", dont_inherit=True)
        self._used[key] = found
        return found

    def _load(self) -> dict[Key, CodeType]:
        if self._file is None:
            return {}
        try:
            with open(self._file, "rb") as file:
                version, scripts = marshal.loads(file.read())
        except (OSError, ValueError, EOFError, TypeError):
            return {}
        return cast("dict[Key, CodeType]", scripts) if version == self._version and isinstance(scripts, dict) else {}

    def _save(self, target: str) -> None:
        kept = self._used if len(self._known) > MOST else {**self._known, **self._used}
        part = f"{target}.{os.getpid()}"
        try:
            with open(part, "wb") as file:
                file.write(marshal.dumps((self._version, kept)))
            os.replace(part, target)
        except OSError:
            with suppress(OSError):
                os.unlink(part)


def _lasting_hash(value: Any) -> int:
    """attrs writes the hash of a class's name into its methods: it must be the same in the next process."""
    return zlib.crc32(value.encode()) if isinstance(value, str) else hash(value)
