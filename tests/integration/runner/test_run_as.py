"""Sessions as another user of the system: what an agent then cannot reach, and that all else works as before.

The runner is the service's own machine's: it uses the service's state directory, whose folders are wide open here, so
that nothing but the files themselves stands between an agent and what is in them.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import trio

from tests.integration.runner.conftest import NOBODY, until
from tests.integration.runner.test_with_the_service import Far, approval
from tests.support.accounts import python_of, reason_for_none, second_user
from tests.support.service import open_town
from townwatch.contracts.codec import Decoder
from townwatch.contracts.tasks import SessionConfig
from townwatch.runner import account, identity
from townwatch.runner.account import Account, CannotRunAs
from townwatch.runner.identity import Identity
from townwatch.runner.opening import open_runner
from townwatch.runner.reading import CannotRead, as_acting, read_file
from townwatch.runner.session import workspace
from townwatch.runner.session.session import Session, SessionSpec

pytestmark = pytest.mark.skipif(bool(reason_for_none()), reason=reason_for_none())
SECRETS = {
    "TOWNWATCH_STATE_DIR": "/where/the/state/is",
    "TOWNWATCH_OIDC_CLIENT_SECRET": "a secret of the service",
    "NOTIFY_SOCKET": "/run/systemd/notify",
    "AWS_SECRET_ACCESS_KEY": "a secret of the runner",
}


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    with second_user(f"tw-agent-{os.getpid()}") as found:
        yield found


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user may enter, as pytest's own is not."""
    place = Path(tempfile.mkdtemp(prefix="townwatch-open-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture
async def far(open_place: Path, user: Account, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Far]:
    """The service and its machine's runner in one process, with one state directory."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    async with open_town(open_place / "state") as town:
        known = identity.load(town.state)
        headers = {"authorization": f"Bearer {town.token}"}
        async with (
            httpx.AsyncClient(base_url=town.url, headers=headers, trust_env=False) as http,
            open_runner(known, town.state, slot="main", account=user) as runner,
        ):
            with trio.fail_after(15):
                await runner.link.connected.wait()
            for folder in [town.state, *(path for path in town.state.rglob("*") if path.is_dir())]:
                folder.chmod(0o755)
            yield Far(town, runner, http, user.home)


async def said(far: Far, session: Session) -> str:
    """All that a session said, when it has ended."""
    with trio.fail_after(30):
        await session.over.wait()
        await until(lambda: far.runner.recorder.spool.size()[0] == 0)
    return "".join(event.get("data", "") for event in await far.events(session))


async def test_it_is_that_user_at_a_terminal_of_its_own(far: Far, user: Account) -> None:
    text = await said(far, far.start('id -un; id -G; echo "$HOME $USER $LOGNAME $SHELL"; stat -c %U "$(tty)"; '
                                     'true > "$(tty)" && echo writes; true < /dev/tty && echo opens; pwd'))  # fmt: skip
    groups = " ".join(str(group) for group in user.groups)
    home = f"{user.home} {user.name} {user.name} /bin/bash"
    assert text.split("\r\n")[:-1] == [user.name, groups, home, user.name, "writes", "opens", str(user.home)]


async def test_it_reads_and_writes_nothing_of_the_service(far: Far) -> None:
    state, service = far.town.state, os.getpid()
    files = [path for path in state.rglob("*") if path.is_file()]
    assert {"token.secret", "runner.json", "journal.db", "townwatch.db", "spool.db"} <= {path.name for path in files}
    session = far.start(
        f"for file in $(find {state} -type f); do cat $file >/dev/null 2>&1 && echo LEAK $file; "
        f"(: >> $file) 2>/dev/null && echo WROTE $file; done; (: > {state}/new) 2>/dev/null && echo MADE a file; "
        f"cd /proc/{service}; for file in environ mem maps io stack auxv cwd/. root/. fd/0 map_files; do "
        f"head -c1 $file >/dev/null 2>&1 && echo LEAK $file; ls $file/ >/dev/null 2>&1 && echo LISTED $file; done; "
        f"ls fd/ >/dev/null 2>&1 && echo LISTED fd; kill -0 {service} 2>/dev/null && echo SIGNALLED; "
        "for file in /proc/self/fd/*; do readlink $file; done; echo looked"
    )
    text = await said(far, session)
    assert "looked" in text and "/dev/pts/" in text
    assert not any(word in text for word in ("LEAK", "WROTE", "MADE", "LISTED", "SIGNALLED", str(state))), text


async def test_no_variable_leads_to_the_service_or_holds_its_secrets(far: Far) -> None:
    text = await said(far, far.start("env; echo end"))
    assert "end" in text and "TOWNWATCH_ASK=127.0.0.1:" in text
    assert not any(name in text or value in text for name, value in SECRETS.items()), text
    assert str(far.town.state) not in text


async def test_it_asks_and_waits_for_the_answer(far: Far, user: Account) -> None:
    python, variables = python_of(user)
    ask = f"PYTHONPATH={variables['PYTHONPATH']} {python} -P -m townwatch ask --category shell --risk high"
    session = far.start(f"{ask} 'rm -rf build/'; echo status=$?")
    asked = await approval(far, session)
    assert await far.post(session, f"approvals/{asked}", decision="allow") == 200
    assert "status=0" in await said(far, session)


async def test_what_it_started_ends_with_it(far: Far, user: Account) -> None:
    session = far.start("sleep 1000 & (setsid sleep 1001 &) ; echo ready; sleep 1000")
    await far.sees(session, "ready")
    assert await far.post(session, "stop") == 200
    await far.becomes(session, "COMPLETED")

    def left() -> list[list[str]]:
        found = psutil.process_iter(["uids", "cmdline"])
        theirs: list[list[str]] = [one.info["cmdline"] or [] for one in found if one.info["uids"].real == user.uid]
        return [command for command in theirs if "1000" in command]

    assert left() == []
    await user.kill_marked("TOWNWATCH_SESSION", session.plan.session_id)  # who left the terminal's session


async def test_it_is_paused_and_resumed(far: Far) -> None:
    session = far.start("echo $$; sleep 1000")
    await far.sees(session, "\n")
    assert await far.post(session, "pause") == 200
    assert session._terminal is not None
    with trio.fail_after(10):
        while psutil.Process(session._terminal.pid).status() != psutil.STATUS_STOPPED:
            await trio.sleep(0.02)
    assert await far.post(session, "resume") == 200
    assert await far.post(session, "stop") == 200
    await far.becomes(session, "COMPLETED")


async def test_git_acts_as_that_user_and_its_configuration_has_no_rights_of_the_runner(far: Far, user: Account) -> None:
    hook = user.home / "hook.sh"
    session = far.start(
        f"printf '#!/bin/sh\\nid -un >> {user.home}/acted\\n' > {hook}; chmod +x {hook}; "
        "git init -q repo; cd repo; git config user.email a@b; git config user.name a; echo 1 > a; git add a; "
        f"git commit -qm 1; git config core.fsmonitor {hook}; echo ready"
    )
    assert "ready" in await said(far, session)
    plan = SessionSpec(session_id=f"{session.plan.session_id}-2", village="demo", directory=user.home / "repo",
                command=["bash", "-c", "echo 2 >> a; sleep 3"])  # fmt: skip
    changed = far.runner.start(plan)
    await said(far, changed)
    acted = user.home / "acted"
    assert set(acted.read_text().split() if acted.exists() else []) <= {user.name}
    (summary, *_) = [event for event in await far.events(changed) if event["type"] == "DIFF_SUMMARY"][-1:]
    assert [file["path"] for file in summary["files"]] == ["a"]


async def test_a_commit_of_a_person_and_its_hooks_are_that_users_and_looking_runs_none(far: Far, user: Account) -> None:
    hook = "printf '#!/bin/sh\\nid -un > acted; env > environment\\n'"
    session = far.start(
        "git init -q landed; cd landed; git config user.email a@b; git config user.name a; echo 1 > a; "
        f"{hook} > .git/hooks/pre-commit; {hook} > watches; chmod +x .git/hooks/pre-commit watches; "
        'git config core.fsmonitor "$PWD/watches"; git config filter.f.clean "$PWD/watches"; '
        'echo "b filter=f" > .gitattributes; '
        "echo ready; sleep 60"
    )
    repo = user.home / "landed"
    plan = SessionSpec(session_id=f"{session.plan.session_id}-3", village="demo", directory=repo,
                command=["sleep", "60"])  # fmt: skip
    await until((repo / ".gitattributes").exists)
    other = far.runner.start(plan)
    await far.becomes(other, "RUNNING")
    path = f"/api/runner/sessions/{other.plan.session_id}/git"
    status = await far.http.get(path)
    assert status.status_code == 200, status.text
    assert not (repo / "acted").exists()
    done = await far.http.post(f"{path}/commit", json={"message": "x", "paths": ["a"]})
    assert done.status_code == 200, done.text
    assert (repo / "acted").read_text() == f"{user.name}\n"
    assert (repo / "acted").owner() == (repo / ".git" / "HEAD").owner() == user.name
    told = (repo / "environment").read_text()
    assert not [name for name in (*SECRETS, "TOWNWATCH_ASK") if f"{name}=" in told]
    for one in (session, other):
        await one.stop(graceful=False)


async def test_observers_read_with_the_rights_of_that_user(far: Far, user: Account, open_place: Path) -> None:
    """Links from the tree to what only the runner may read: nothing of it, not even its names or size, is told."""
    secret = open_place / "of-the-runner"
    (secret / "folder").mkdir(parents=True)
    secret.chmod(0o700)
    (secret / "folder" / "a-secret-name").write_text("secret\n" * 7)
    (secret / "plain").write_text("secret-content\n" * 7)
    (secret / "config").write_text('[remote "origin"]\n\turl = git@github.com:secret-owner/secret-name.git\n')
    (secret / "HEAD").write_text("ref: refs/heads/secret-branch\n")
    (secret / "report.xml").write_text('<testsuite tests="41" failures="1"/>')
    script = (
        "git init -q repo && cd repo && git config user.email a@b && git config user.name a && echo 1 > a && "
        f"git add a && git commit -qm 1 && rm .git/config && ln -s {secret}/config .git/config; echo ready"
    )
    assert "ready" in await said(far, far.start(script))
    agent = (
        f"ln -s {secret}/plain one; mkdir d; touch d/x; sleep 1; rm -r d; ln -s {secret}/folder d; "
        f"ln {secret}/plain hard 2>/dev/null; ln -s {secret}/report.xml report.xml; "
        f"rm -f .git/HEAD; ln -s {secret}/HEAD .git/HEAD; mkfifo pipe; sleep 2; echo over"
    )
    plan = SessionSpec(
        session_id="links-session", village="demo", directory=user.home / "repo", command=["bash", "-c", agent]
    )
    session = far.runner.start(plan)
    text = await said(far, session)
    told = json.dumps(await far.events(session))
    assert "over" in text
    for word in ("secret-owner", "secret-branch", "a-secret-name", "secret-content"):
        assert word not in told, told


async def test_a_reading_thread_has_that_users_rights_and_gets_its_own_back(user: Account, open_place: Path) -> None:
    closed, shared = open_place / "closed", open_place / "of-the-group-of-root"
    closed.write_text("secret")
    closed.chmod(0o600)
    shared.write_text("secret")
    shared.chmod(0o640)
    pipe = open_place / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o644)

    def read() -> tuple[list[str], bytes]:
        refused: list[str] = []
        with as_acting():
            for path in (closed, shared, pipe):
                try:
                    read_file(path)
                except OSError as error:
                    refused.append(type(error).__name__)
            made = os.getgroups()
        return [*refused, str(set(made) == set(user.groups))], read_file(closed)

    account.acting.set(user)
    limiter = trio.CapacityLimiter(1)
    for _ in range(3):
        found = await trio.to_thread.run_sync(read, limiter=limiter)
        assert found == (["PermissionError", "PermissionError", "OSError", "True"], b"secret")
    with pytest.raises(CannotRead, match="main thread"), as_acting():
        pass


async def test_it_does_not_start_in_a_directory_that_the_user_may_not_enter(
    far: Far, user: Account, open_place: Path
) -> None:
    closed = open_place / "closed"
    closed.mkdir(mode=0o700)
    session = far.runner.start(
        SessionSpec(session_id="closed-session", village="demo", command=["id"], directory=closed)
    )
    await said(far, session)
    ended = (await far.events(session))[-1]
    assert ended["finalState"] == "FAILED"
    assert ended["reason"] == f"could not start: the user {user.name} may not enter the directory {closed}"  # type: ignore[union-attr]


async def test_a_clone_is_the_users(user: Account, open_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await trio.run_process(["git", "init", "-q", "--bare", str(open_place / "forge" / "o" / "n.git")])
    monkeypatch.setattr(workspace, "HOSTS", {"github": f"file://{open_place}/forge"})
    monkeypatch.setenv("GIT_CONFIG_COUNT", "0")
    (user.home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
    config = Decoder(SessionConfig).convert(
        {"sessionId": "clone-session", "orgId": "demo", "agentId": "a1", "providerId": "command", "command": ["id"],
         "repoRef": {"provider": "github", "owner": "o", "name": "n"}, "task": {"title": "t", "goal": "g"}}
    )  # fmt: skip
    account.acting.set(user)
    found, _ = await workspace.prepare(config, Path("/nonexistent"))
    assert found.is_relative_to(user.home)
    assert {path.stat().st_uid for path in [found, *found.rglob("*")]} == {user.uid}


async def test_processes_of_a_killed_runner_are_found_without_the_right_to_look_into_others(user: Account) -> None:
    marked = {**user.environment(), "TOWNWATCH_SESSION": "left-behind"}
    mine = await trio.lowlevel.open_process(["sleep", "1000"], env=marked, cwd="/", **user.options())
    other = await trio.lowlevel.open_process(["sleep", "1000"], env=user.environment(), cwd="/", **user.options())
    await user.kill_marked("TOWNWATCH_SESSION", "left-behind")
    with trio.fail_after(5):
        assert await mine.wait() == -signal.SIGKILL
    assert other.poll() is None
    other.kill()
    await other.wait()


# --- what is refused ----------------------------------------------------------------------------------------------


def town_runner(state: Path, *words: str, user: Account | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "townwatch", "runner", f"--state-dir={state}", *words]
    options = user.options() if user is not None else {}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


@pytest.fixture
def state(open_place: Path) -> Path:
    identity.save(open_place / "state", Identity(runner_id="r1", token="t", url=NOBODY))
    return open_place / "state"


def test_a_user_who_is_not_there_or_may_do_everything_is_refused(state: Path) -> None:
    missing = town_runner(state, "--run-as=nobody-of-this-name")
    assert missing.returncode == 2 and "there is no such user on this machine" in missing.stderr
    root = town_runner(state, "--run-as=root")
    assert root.returncode == 2 and "name one without rights" in root.stderr


def test_a_file_of_the_service_that_the_user_may_read_is_refused(state: Path, user: Account) -> None:
    secret = state / "token.secret"
    secret.write_text("secret")
    secret.chmod(0o644)
    refused = town_runner(state, f"--run-as={user.name}")
    assert refused.returncode == 2 and f"this user may read {secret}" in refused.stderr
    secret.chmod(0o600)
    os.chown(secret, user.uid, 0)
    with pytest.raises(CannotRunAs, match="may read"):
        account.check_closed(user, state)


def _only_setuid(_status: Iterable[str]) -> int:
    return 1 << account.CAPABILITIES["CAP_SETUID"]


def test_a_runner_without_the_right_says_what_it_needs(user: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "_effective_capabilities", _only_setuid)
    with pytest.raises(CannotRunAs, match=r"run it as root, or give it CAP_CHOWN, .*CAP_SETGID \(as in packaging/"):
        account.find(user.name)


def test_ambient_capabilities_of_a_runner_are_not_its_sessions(user: Account) -> None:
    """A runner that is not root has the right by ambient capabilities, which a change of user alone does not take."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    python, variables = python_of(user)
    names = "+setuid,+setgid,+kill,+chown,+dac_read_search"
    program = (
        "import trio\nfrom pathlib import Path\nfrom townwatch.runner import account\n"
        "from townwatch.runner.session.terminal import Terminal\n"
        "async def main():\n"
        f"    user = account.find({user.name!r})\n"
        "    command = ['sh', '-c', 'id -un; grep Cap /proc/self/status']\n"
        "    terminal = await Terminal.start(command, cwd=Path('/'), env=user.environment(), account=user)\n"
        "    async for text in terminal.output():\n"
        "        print(text, end='')\n"
        "    await terminal.wait()\n"
        "trio.run(main)\n"
    )
    command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", f"--inh-caps={names}",
               f"--ambient-caps={names}", python, "-P", "-c", program]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/", env=variables)
    lines = dict(line.split(":\t") for line in done.stdout.splitlines()[1:])
    assert done.stdout.splitlines()[0] == user.name, done.stderr
    assert {lines["CapPrm"], lines["CapEff"], lines["CapAmb"]} == {"0" * 16}
