"""The system user that sessions are executed as, where it is not the runner's own (`[runner] run_as`).

Where a runner and its sessions are the same user, an agent can read what the runner reads: its token, and on the
service's own machine `token.secret`, with which it could sign itself in and approve what it asks. A session of another
user cannot. What the runner executes for such a session (its command, git) is executed as that user, too: the
configuration of a repository that a session can write must never act with the rights of the runner.
"""

import ctypes
import grp
import os
import pwd
import subprocess
import sys
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import attrs
import trio

CAPABILITIES = {"CAP_CHOWN": 0, "CAP_DAC_READ_SEARCH": 2, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}
"""What a runner that is not root needs to execute sessions as another user: name → number (capabilities(7))."""
PRIVATE = ("token.secret", "runner.json", "journal.db*", "townwatch.db*", "runner/*/spool.db*")
"""Files of the state directory that sessions must not be able to read."""
LOOK_SECONDS = 10.0
"""How long a small program has to look at something as the account."""
UNIT = "packaging/systemd/townwatch-runner-as@.service"

_PASSED_ON = frozenset(
    "PATH LANG LANGUAGE TZ TERM COLORTERM HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy "
    "no_proxy SSL_CERT_FILE SSL_CERT_DIR NODE_EXTRA_CA_CERTS".split()
)
"""Variables of the runner that another user's session gets (and LC_*): none that holds a secret of the runner's."""
_OF_THE_SERVICE = frozenset(
    "NOTIFY_SOCKET WATCHDOG_PID WATCHDOG_USEC LISTEN_FDS LISTEN_PID LISTEN_FDNAMES MAINPID MANAGERPID INVOCATION_ID "
    "JOURNAL_STREAM CREDENTIALS_DIRECTORY STATE_DIRECTORY RUNTIME_DIRECTORY CACHE_DIRECTORY LOGS_DIRECTORY "
    "CONFIGURATION_DIRECTORY SYSTEMD_EXEC_PID MEMORY_PRESSURE_WATCH MEMORY_PRESSURE_WRITE".split()
)
"""Variables by which systemd talks to a service. A session that had them could speak in its name."""
_OWN_PREFIX = "TOWNWATCH_"
"""Of our own settings (the state directory, the database with its password, the client secret)."""

_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class CannotRunAs(Exception):
    """Sessions cannot be executed as the wanted user; the message says why and what to do."""


@attrs.frozen(kw_only=True)
class Account:
    """A user of this system. `groups`: all of them, its first one included."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: Path
    shell: str

    def options(self) -> dict[str, Any]:
        """Return what `subprocess.Popen` needs to execute a program as this user. The kernel's rule is observed that
        groups are changed before the user is.
        """
        return {
            "user": self.uid,
            "group": self.gid,
            "extra_groups": list(self.groups),
            "preexec_fn": give_up_capabilities,
        }

    def environment(self) -> dict[str, str]:
        """Return the variables of a program of this user, as after a login; nothing of the runner's that is secret."""
        passed_on = {k: v for k, v in os.environ.items() if k in _PASSED_ON or k.startswith("LC_")}
        path = os.pathsep.join([str(self.home / ".local" / "bin"), passed_on.get("PATH", os.defpath)])
        own = {"HOME": str(self.home), "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell, "PATH": path}
        return {**passed_on, **own}

    def give_terminal(self, slave: int) -> None:
        """Make the user the owner of a pseudo-terminal, as a login does: programs open it anew by its name."""
        try:
            group = grp.getgrnam("tty").gr_gid
        except KeyError:
            group = self.gid
        os.fchmod(slave, 0o620)  # first: once it is another's, CAP_FOWNER would be needed
        os.fchown(slave, self.uid, group)

    async def may_enter(self, directory: Path) -> bool:
        """Return whether the user may enter and list a directory: asked of the kernel, as the user."""
        return await self._shell('cd -- "$1" && test -r .', str(directory)) == 0

    async def remove(self, directory: Path) -> None:
        """Remove a directory as the user: a link that the user put there leads no further than the user may go."""
        await self._shell('rm -rf -- "$1"', str(directory))

    async def kill_marked(self, variable: str, value: str) -> None:
        """Kill the user's processes that have a variable of this value, as the user. A runner without CAP_SYS_PTRACE,
        as in most containers, cannot read their environments itself.
        """
        await self._shell(_KILL_MARKED, f"{variable}={value}")

    async def _shell(self, script: str, argument: str) -> int:
        """Return the exit status of a script with one argument, -1 where it took too long."""
        with trio.move_on_after(LOOK_SECONDS):
            done = await trio.run_process(
                ["/bin/sh", "-c", script, "sh", argument],
                check=False,
                cwd="/",
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **self.options(),
            )
            return done.returncode
        return -1


_KILL_MARKED = """
for process in /proc/[0-9]*; do
    if tr '\\0' '\\n' < "$process/environ" | grep -qxF -- "$1"; then kill -9 "${process#/proc/}"; fi
done
"""

acting: ContextVar[Account | None] = ContextVar("acting", default=None)
"""The account that programs are executed as for the session at hand; None: the runner's own."""


def find(name: str) -> Account | None:
    """Return the account of this name; None for no name. Raises `CannotRunAs`."""
    if not name:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise CannotRunAs(f"run_as = {name!r}: there is no such user on this machine; make one (useradd)") from None
    if entry.pw_uid == 0:
        raise CannotRunAs(f"run_as = {name!r}: this user may do everything; name one without rights")
    if entry.pw_uid == os.geteuid():
        raise CannotRunAs(
            f"run_as = {name!r}: the runner is this user, whose files its sessions could read; name another"
        )
    missing = _missing_rights()
    if missing:
        raise CannotRunAs(
            f"run_as = {name!r}: this process may not start programs as another user; run it as root, or give it "
            f"{', '.join(missing)} (as in {UNIT})"
        )
    groups = tuple(os.getgrouplist(name, entry.pw_gid))
    if 0 in groups:
        raise CannotRunAs(f"run_as = {name!r}: this user is in the group of root (0); name one that is not")
    return Account(
        name=name, uid=entry.pw_uid, gid=entry.pw_gid, groups=groups,
        home=Path(entry.pw_dir), shell=entry.pw_shell or "/bin/sh",
    )  # fmt: skip


def check_closed(account: Account, state_dir: Path) -> None:
    """Raise `CannotRunAs` where the account may read a file of the state directory that it must not read."""
    for pattern in PRIVATE:
        for path in sorted(state_dir.glob(pattern)):
            if _may_read(account, path):
                raise CannotRunAs(
                    f"run_as = {account.name!r}: this user may read {path}; make it the runner's alone "
                    f"(chmod 600, and chown to the runner's user)"
                )


def _may_read(account: Account, path: Path) -> bool:
    """Judge by the mode of the file itself, however closed the directories above it are."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    if status.st_uid == account.uid:
        return True
    shared = status.st_gid in account.groups and status.st_mode & 0o040
    return bool(shared or status.st_mode & 0o004)


def _missing_rights() -> list[str]:
    """Return the names of the capabilities that this process lacks."""
    if sys.platform != "linux":
        return [] if os.geteuid() == 0 else ["the rights of root"]
    held = _effective_capabilities(Path("/proc/self/status").read_text().splitlines())
    return [name for name, number in CAPABILITIES.items() if not held >> number & 1]


def _effective_capabilities(status: Iterable[str]) -> int:
    return next((int(line.split()[1], 16) for line in status if line.startswith("CapEff:")), 0)


def give_up_capabilities() -> None:
    """Run in the child after it became the user, before its program: a runner with ambient capabilities would hand
    them on otherwise, and with them the right to become any user.
    """
    if _libc is not None:
        _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def options_of_children() -> dict[str, Any]:
    """Return what `subprocess.Popen` needs to execute a program as the acting account; nothing where there is none."""
    account = acting.get()
    return {} if account is None else {"cwd": "/", **account.options()}


def environment_of_children() -> dict[str, str]:
    """Return what a program that acts for a session gets: the account's, or the runner's own."""
    account = acting.get()
    return dict(os.environ) if account is None else account.environment()


def inherited(account: Account | None) -> dict[str, str]:
    """Return the variables of a session before its own are added: the account's, or the runner's without those that
    lead to the state directory, hold a secret of the service, or let a program speak in its name.
    """
    if account is not None:
        return account.environment()
    return {k: v for k, v in os.environ.items() if not k.startswith(_OWN_PREFIX) and k not in _OF_THE_SERVICE}


def let_read(*paths: Path) -> None:
    """Let programs of the acting account read directories and files of ours. They stay the runner's to write: in a
    directory of the account's own, a link could lead the runner anywhere.
    """
    account = acting.get()
    if account is None:
        return
    for path in paths:
        if not path.is_symlink():
            os.chown(path, -1, account.gid)
            path.chmod(0o750 if path.is_dir() else 0o640)
