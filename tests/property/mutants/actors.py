"""Plausible bugs of mailbox and supervisor, planted one by one: the tests must notice each.

    python -m tests.property.mutants.actors [part of a name]

Everything is imported once; each mutant runs in a fork of this process, where the changed functions get the code of
the changed source, and pytest runs the files that should notice it until the first failure.
"""

import contextlib
import importlib
import io
import logging
import os
import pathlib
import resource
import sys
import time
import tomllib
import types
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

CPU_SECONDS = 60
"""What a fork may use; those that end by themselves use about one."""
ROOT = pathlib.Path(__file__).parents[3]


@attrs.frozen
class Mutant:
    """One planted bug: in `module`, `old` becomes `new`; `tests` should notice."""

    name: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...]


def listed() -> list[Mutant]:
    """The bugs in actors.toml."""
    data = tomllib.loads(pathlib.Path(__file__).with_suffix(".toml").read_text())
    return [Mutant(**{**one, "tests": tuple(one["tests"])}) for one in data["mutant"]]


MUTANTS = listed()


def functions(namespace: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All functions of a module and its classes, by qualified name."""
    for name, value in namespace.items():
        if isinstance(value, property) and value.fget is not None:
            value = value.fget
        value = getattr(value, "__func__", value)
        if isinstance(value, types.FunctionType):
            yield prefix + name, value
        elif isinstance(value, type) and not prefix:
            yield from functions(dict(vars(value)), f"{name}.")


def plant(mutant: Mutant) -> None:
    """Give the functions of the real module the code of the changed source."""
    module = importlib.import_module(mutant.module)
    source = pathlib.Path(str(module.__file__)).read_text()
    if source.count(mutant.old) != 1:
        raise SystemExit(f"mutant {mutant.name!r}: {source.count(mutant.old)} places in {mutant.module}, not 1")
    changed: dict[str, Any] = {"__name__": mutant.module, "__file__": module.__file__}
    exec(compile(source.replace(mutant.old, mutant.new), str(module.__file__), "exec"), changed)
    real = dict(functions({k: v for k, v in vars(module).items() if getattr(v, "__module__", "") == mutant.module}))
    planted = 0
    for name, function in functions(
        {k: v for k, v in changed.items() if getattr(v, "__module__", "") == mutant.module}
    ):
        if name in real and real[name].__code__ != function.__code__:
            real[name].__code__ = function.__code__
            planted += 1
    if not planted:
        raise SystemExit(f"mutant {mutant.name!r} changed nothing")


def run(tests: tuple[str, ...], timeout: int, *more: str) -> int:
    """pytest's exit code, without its output. timeout: seconds a test, for mutants that hang."""
    options = [
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--timeout={timeout}",
        "--hypothesis-seed=1",
        "--no-header",
        *more,
    ]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return int(pytest.main([*options, *(str(ROOT / one) for one in tests)]))


def fork(mutant: Mutant | None, tests: tuple[str, ...], timeout: int) -> int:
    """Run the tests with this bug in a fork; its process id. Exit codes: 0 survived, 1 noticed, 3 not planted."""
    child = os.fork()
    if child:
        return child
    code = 3
    try:
        if mutant is not None:
            plant(mutant)
            # A mutant may spin where no test's own timeout reaches it: the kernel ends it, which is noticing it too.
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        code = 1
        code = 0 if run(tests, timeout) == 0 else 1
    except BaseException as error:  # a run that breaks pytest itself is noticed too
        os.write(2, f"{error}\n".encode() if code == 3 else b"")
    finally:
        os._exit(code)


def survivors_of(mutants: list[Mutant], at_once: int = 2) -> list[str]:
    """Try all mutants, a few side by side."""
    survivors, running, waiting = list[str](), dict[int, Mutant](), list(reversed(mutants))
    while waiting or running:
        while waiting and len(running) < at_once:
            mutant = waiting.pop()
            running[fork(mutant, mutant.tests, timeout=2)] = mutant
        process, status = os.wait()
        mutant, code = running.pop(process), os.waitstatus_to_exitcode(status)
        if code == 3:
            raise SystemExit(f"mutant {mutant.name!r} could not be planted")
        if code == 0:
            survivors.append(mutant.name)
            print(f"SURVIVED  {mutant.name}", flush=True)
    return survivors


def main(part: str = "") -> int:
    """Try all mutants, or those with `part` in their name; how many survived."""
    logging.disable(logging.CRITICAL)
    begin = time.perf_counter()
    chosen = [mutant for mutant in MUTANTS if part in mutant.name]
    everything = tuple(sorted({one for mutant in chosen for one in mutant.tests}))
    run(everything, 30, "--collect-only")  # imports all there is, once, and starts no thread that a fork would lose
    _, status = os.waitpid(fork(None, everything, timeout=30), 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit("the tests fail without a mutant: nothing can be said")
    survivors = survivors_of(chosen)
    print(f"{len(chosen)} mutants, {len(survivors)} survived, {time.perf_counter() - begin:.0f} s")
    return len(survivors)


if __name__ == "__main__":
    sys.exit(min(main(*sys.argv[1:]), 1))
