"""What git does not answer is not known, and said so; nothing is done upon it, and nothing that was done is denied."""

import shutil
from pathlib import Path

import pytest

from tests.integration.landing.conftest import Yard, git, refused
from townwatch.runner.landing import acts, tree

pytestmark = pytest.mark.timeout(120)

BROKEN = """#!/bin/sh
word=$(cat {folder}/broken 2>/dev/null) || word=@
for one in "$@"; do
  [ "$one" = "$word" ] || continue
  [ -e {folder}/hangs ] && exec sleep 600
  echo "fatal: disk on fire" >&2; exit 128
done
exec {git} "$@"
"""


@pytest.fixture
def broken(tmp_path: Path, yard: Yard) -> Path:
    """The word that git does not answer any more is written here."""
    program = tmp_path / "bin" / "git"
    program.write_text(BROKEN.format(folder=tmp_path, git=shutil.which("git", path="/usr/local/bin:/usr/bin:/bin")))
    program.chmod(0o755)
    return tmp_path / "broken"


QUESTIONS = {"symbolic-ref": "branch", "rev-parse": "head", "remote": "remote", "rev-list": "ahead", "diff": "files"}


@pytest.mark.parametrize("how", ["hangs", "fails"])
async def test_a_question_that_git_does_not_answer_is_not_known(
    yard: Yard, broken: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(tree, "ASK_SECONDS", 3.0 if how == "hangs" else 15.0, raising=False)
    session = (await yard.live()).plan.session_id
    (yard.work / "new").write_text("x\n")
    assert (await yard.land(session, "commit", message="x")).status_code == 200
    (yard.work / "another").write_text("x\n")
    before = git(yard.work, "rev-parse", "HEAD")
    if how == "hangs":
        (yard.folder / "hangs").touch()
    for question, field in QUESTIONS.items():
        broken.write_text(question)
        said = (await yard.get(session)).json()["unknown"][field]
        assert ("not known: git did not answer in 3 s" if how == "hangs" else "disk on fire") in said, (question, said)
        acts = {"files": ("commit", {"message": "y"})}
        act, body = acts.get(field, ("push", {}))
        answer = await yard.land(session, act, **body)
        assert refused(answer)[:2] == (409, "E_RUNNER_REFUSED"), (question, answer.text)
        assert "not known" in answer.text or "disk on fire" in answer.text, (question, answer.text)
    broken.unlink()
    assert git(yard.work, "rev-parse", "HEAD") == before
    assert git(yard.remote, "log", "--oneline", "main").count("\n") == 0
    assert not (await yard.get(session)).json().get("unknown")


@pytest.mark.parametrize("where", ["before", "behind"])
async def test_a_push_that_is_ended_is_looked_for_at_the_remote(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    session = (await yard.live()).plan.session_id
    (yard.work / "new").write_text("x\n")
    assert (await yard.land(session, "commit", message="x")).status_code == 200
    hooks = (yard.work / ".git", "pre-push") if where == "before" else (yard.remote, "post-update")
    hook = hooks[0] / "hooks" / hooks[1]
    hook.write_text("#!/bin/sh\nexec sleep 600\n")
    hook.chmod(0o755)
    monkeypatch.setattr(acts, "PUSH_SECONDS", 2.0)
    answer = await yard.land(session, "push")
    told = (await yard.landed(session, 2))[-1]
    if where == "behind":
        assert answer.status_code == 200, answer.text
        assert (told["ok"], "it is done: origin has main at" in told["says"]) == (True, True), told
        return
    assert refused(answer)[:2] == (409, "E_NOT_KNOWN"), answer.text
    assert (told["ok"], told["unknown"]) == (False, True)
    assert "git push took more than 2 s and was ended. Origin has main at" in told["says"]


async def test_a_commit_that_is_ended_in_a_hook_behind_it_is_known_to_be_done(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = (await yard.live()).plan.session_id
    (yard.work / "new").write_text("x\n")
    hook = yard.work / ".git" / "hooks" / "post-commit"
    hook.write_text("#!/bin/sh\nexec sleep 600\n")
    hook.chmod(0o755)
    monkeypatch.setattr(acts, "COMMIT_SECONDS", 2.0)
    answer = await yard.land(session, "commit", message="x")
    assert answer.status_code == 200, answer.text
    assert answer.json()["outcome"]["commit"] == git(yard.work, "rev-parse", "HEAD")
