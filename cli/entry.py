"""Entry point of the command `townwatch`, standard library only: agents call `ask`, `alert` and `usage` at every tool.

Exit statuses: 0 done (`ask`: allowed) · 1 `ask`: a person or a rule said no; `chaos`: something was lost; commands
about sessions: the service said no · 2 anything that could not be done, a crash of ours included, so that no script
takes a crash for an answer · 130 interrupted. `run`, and `attach` to the end of a session: its command's own status.
"""

import os
import sys
from contextlib import suppress

TROUBLE = 2


def main() -> None:
    """Run the command line and exit with its status. Never shows a traceback unless TOWNWATCH_DEBUG is set."""
    try:
        _open_missing_descriptors()
        _demote_python_path()
        status = _run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        status = _broken_pipe()
    except SystemExit as exit:
        if isinstance(exit.__context__, BrokenPipeError):  # rich, which prints the help, makes a 1 of it
            status = _broken_pipe()
        elif exit.code is None or isinstance(exit.code, int):
            raise
        else:
            print(f"townwatch: {exit.code}", file=sys.stderr)
            status = TROUBLE
    except BaseException as error:
        if _is_interrupt(error):  # in a nursery
            sys.exit(130)
        if os.environ.get("TOWNWATCH_DEBUG"):
            import traceback

            traceback.print_exc()
        print(f"townwatch: {_describe(error)}", file=sys.stderr)
        status = TROUBLE
        _drop_output()
    sys.exit(status)


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        from townwatch import __version__

        print(__version__)
        return 0
    if arguments in ([], ["--help"], ["-h"], ["help"]):
        from townwatch.cli.help import text

        print(text())
        return 0
    from townwatch.cli import quick

    if arguments[0] in quick.COMMANDS:
        return quick.run(arguments)
    if arguments[0] == "run":
        from townwatch.cli import run as running

        if (parsed := running.parse(arguments[1:])) is not None:
            return running.run(parsed[1], **parsed[0])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    from townwatch.cli.main import run

    return run()


def _open_missing_descriptors() -> None:
    """Put the null device where the caller closed our input or output (``<&-``): else a file that we open later would
    take its number, and be written to or read from as if it were the caller's.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            if os.open(os.devnull, os.O_RDWR) == descriptor:  # the lowest free number
                setattr(sys, name, os.fdopen(descriptor, mode, closefd=False))


def _is_interrupt(error: BaseException) -> bool:
    """Return whether it is Ctrl+C and nothing else."""
    inner = getattr(error, "exceptions", None)  # of a group, whose type says nothing of them
    if inner is not None:
        return all(map(_is_interrupt, inner))
    return isinstance(error, KeyboardInterrupt)


def _demote_python_path() -> None:
    """Move the entries of PYTHONPATH behind our own: they are for the user's programs, whose modules may be called as
    ours or the standard library's are (`json.py`, `trio/`).
    """
    if not os.environ.get("PYTHONPATH"):
        return
    with suppress(FileNotFoundError):  # the working directory is gone
        theirs = {os.path.abspath(entry) for entry in os.environ["PYTHONPATH"].split(os.pathsep)}
        sys.path.sort(key=lambda entry: os.path.abspath(entry) in theirs)


def _broken_pipe() -> int:
    """Return the shell's status for SIGPIPE, after stdout can no longer raise at the interpreter's end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 141


def _drop_output() -> None:
    """Drop what standard output does not take (a full disk): the interpreter's end would say so in three lines more."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _describe(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    hint = "TOWNWATCH_DEBUG=1 shows where"
    if isinstance(error, OSError) and error.strerror:
        from townwatch.config.writable import advice_for

        if isinstance(error, FileNotFoundError) and not error.filename and not os.path.isdir("."):
            return "the working directory is not there any more: cd to another one"
        where, advice = (f"{error.filename}: ", f"; {advice_for(error)}") if error.filename else ("", "")
        return f"{where}{error.strerror}{advice} ({hint})"
    return f"internal error, {type(error).__name__}: {error} ({hint})"  # pyright: ignore[reportUnknownArgumentType]
