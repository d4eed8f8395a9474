"""GET …/diff: the text of what a session changed, from real git, through a composed service."""

from pathlib import Path
from typing import Any

import trio

from tests.integration.runner.conftest import Far, until
from tests.integration.runner.test_observed_files import git, repository
from townwatch.contracts.events import ProviderEventForwarded
from townwatch.contracts.translate import EventSource, translate
from townwatch.runner.observers.baseline import CLOCK_NS
from townwatch.runner.session.session import Session

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCY"
KEY = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 9 + "-----END PRIVATE KEY-----\n"
ENV = {"DEPLOY_TOKEN": SECRET}


async def ready(far: Far, session: Session) -> None:
    """The session's tree is watched and its baseline taken."""
    await until(lambda: session._observers is not None and session._observers._baseline is not None)


def by_path(diff: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {file["path"]: file for file in diff["files"]}


async def test_the_text_of_what_a_session_changed(far: Far) -> None:
    top = far.directory
    await repository(top, changed="1\n2\n3\n", gone="x\n", before="".join(f"{n}\n" for n in range(20)), mine="a\n")
    (top / "mine").write_text("a\nfound\n")  # dirty when the session begins
    (top / "untouched-new").write_text("not its work\n")
    await trio.sleep(4 * CLOCK_NS / 1e9)  # as much later as the clock that stamps files can tell
    session = far.start("echo ready; cat", env=ENV)
    await ready(far, session)
    (top / "changed").write_text("1\ntwo\n3\n")
    (top / "gone").unlink()
    (top / "before").rename(top / "after")
    await git(top, "add", "-A", "--", "before", "after")
    (top / "mine").write_text("a\nfound\nadded\n")
    (top / "new dir").mkdir()
    (top / "new dir" / "caf\udce9").write_text(f"token = {SECRET}\n{KEY}esc \x1b[2J\rend")
    (top / "picture").write_bytes(b"\0\1\2")
    await git(top, "add", "changed")
    await git(top, "commit", "-q", "-m", "two", "changed")  # committed work stays its work

    answer = await far.get(session, "diff")
    assert answer.status_code == 200, answer.text
    diff = answer.json()
    files = by_path(diff)
    assert diff["live"] is True
    assert diff["truncated"] is False
    assert {path: (f["status"], f["additions"], f["deletions"]) for path, f in files.items()} == {
        "after": ("renamed", 0, 0),
        "changed": ("modified", 1, 1),
        "gone": ("deleted", 0, 1),
        "mine": ("modified", 1, 0),
        "new dir/caf\ufffd": ("added", 13, 0),
        "picture": ("added", 1, 0),
    }
    assert files["changed"]["patch"] == "@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"
    assert files["gone"]["patch"] == "@@ -1 +0,0 @@\n-x\n"
    assert files["mine"]["patch"] == "@@ -1,2 +1,3 @@\n a\n found\n+added\n"
    assert (files["after"]["oldPath"], files["after"]["patch"]) == ("before", "")
    assert (files["picture"]["binary"], files["picture"].get("patch")) == (True, None)
    lines = files["new dir/caf\ufffd"]["patch"].splitlines()
    assert lines[0] == "@@ -0,0 +1,13 @@"
    assert lines[1] == "+token = ••••••"
    assert lines[2:13] == ["+••••••"] * 11
    assert lines[13:] == ["+esc \u241b[2J\u240dend", "\\ No newline at end of file"]
    # the numbers of the lists are of the same state
    with trio.fail_after(15):
        while (await far.shown(session))["diff"] != {"filesChanged": 6, "linesAdded": 16, "linesRemoved": 2}:
            await trio.sleep(0.05)
    assert (diff["filesChanged"], diff["linesAdded"], diff["linesRemoved"]) == (6, 16, 2)

    one = (await far.get(session, "diff", path="changed")).json()
    assert by_path(one) == {"changed": files["changed"]}
    assert one["filesChanged"] == 6
    unknown = await far.get(session, "diff", path="README")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (409, "E_NO_DIFF")

    await far.post(session, "stop")
    await far.becomes(session, "COMPLETED")
    (top / "changed").write_text("somebody else's\n")
    kept = (await far.get(session, "diff")).json()
    assert kept["live"] is False
    assert kept["base"] == diff["base"]
    assert by_path(kept) == files
    assert by_path((await far.get(session, "diff", path="gone")).json()) == {"gone": files["gone"]}
    # it is stored, and goes to no viewer
    (event,) = [one for one in await far.events(session) if one.get("providerEvent", {}).get("type") == "session_diff"]
    told = ProviderEventForwarded(
        session_id="s", org_id="o", ts=1, seq=event["seq"], provider_event=event["providerEvent"]
    )
    assert translate(told, EventSource(village_id="v", agent_id="a", agent_name="a", repo_path="/")) == []
    assert SECRET not in str(await far.events(session))


async def test_the_text_is_bounded(far: Far) -> None:
    await repository(far.directory, long="x\n")
    session = far.start("cat")
    await ready(far, session)
    (far.directory / "long").write_text("".join(f"line {n} of a long file\n" for n in range(20_000)))
    (far.directory / "wide").write_text("w" * 500_000 + "\n")
    for number in range(400):
        (far.directory / f"many{number:03}").write_text("x\n")
    diff = (await far.get(session, "diff")).json()
    files = by_path(diff)
    assert diff["filesChanged"] == len(files) == 402
    assert diff["truncated"] is True
    assert files["long"]["truncated"] is True
    assert files["long"]["additions"] == 20_000
    assert len(files["long"]["patch"].encode()) <= 200_000
    assert files["long"]["patch"].endswith("\n")
    assert files["wide"].get("patch") is None  # beyond the first 300 files
    assert sum(file.get("patch") is not None for file in files.values()) == 300
    wide = by_path((await far.get(session, "diff", path="wide")).json())["wide"]
    assert wide["truncated"] is True
    assert len(wide["patch"]) < 2100
    whole = by_path((await far.get(session, "diff", path="long")).json())["long"]
    assert whole["truncated"] is False
    await far.post(session, "stop")
    await far.becomes(session, "COMPLETED")
    kept = (await far.get(session, "diff")).json()
    assert kept["truncated"] is True
    assert kept["filesChanged"] == 402


async def test_what_has_no_text_says_why(far: Far, tmp_path: Path) -> None:
    session = far.start("echo ready; cat")
    await far.sees(session, "ready")
    answer = await far.get(session, "diff")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "E_NO_DIFF")
    assert "git repository" in answer.json()["error"]["message"]
    await far.post(session, "stop")
    await far.becomes(session, "COMPLETED")
    ended = (await far.get(session, "diff")).json()
    assert (ended["filesChanged"], ended["files"], ended["live"], ended["base"]) == (0, [], False, None)
