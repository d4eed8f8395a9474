"""Rules on the runner's disk are the service's, signed, and its latest; whatever else lies there, everything asks."""

import json
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from townwatch.app.policies import PolicySigner
from townwatch.contracts.link import Policies
from townwatch.contracts.policy import PolicyRule, VillagePolicy
from townwatch.runner.policies import FILE, KEY_FILE, SEEN_FILE, PolicyShelf, forget

SIGNER = PolicySigner(b"the service's secret")
ALLOW = PolicyRule(id="ls", effect="allow", command="ls")
DENY = PolicyRule(id="no-push", effect="deny", command="git push *")


def policy(version: int, *rules: PolicyRule) -> VillagePolicy:
    return VillagePolicy(village_id="v", version=version, rules=list(rules))


def signed(*policies: VillagePolicy, at: int = 1000, runner: str = "r1", by: PolicySigner = SIGNER) -> Policies:
    return Policies(signed=by.sign(runner, policies, at))


def rules(shelf: PolicyShelf) -> list[str]:
    return [one.id for one in shelf.of("v").rules]


async def kept(directory: Path, *given: Policies) -> PolicyShelf:
    shelf = PolicyShelf(directory, "r1")
    for one in given:
        await shelf.replace(one)
    return shelf


async def test_what_was_signed_is_kept_and_read_again_by_every_process_of_the_machine(tmp_path: Path) -> None:
    shelf = await kept(tmp_path, signed(policy(2, DENY), runner="r1.run-3"))
    assert rules(shelf) == ["no-push"]
    assert rules(PolicyShelf(tmp_path, "r1")) == ["no-push"]
    assert rules(PolicyShelf(tmp_path, "r1.run-2")) == ["no-push"]
    assert {path.name for path in tmp_path.iterdir()} == {FILE, KEY_FILE, SEEN_FILE}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())


def widen(text: str) -> str:
    return text.replace("no-push", "no-pull")


def unsign(text: str) -> str:
    return json.dumps({"type": "policies", "policies": [{"villageId": "v", "rules": [attrs.asdict(ALLOW)]}]})


def sign_anew(text: str) -> str:
    by = PolicySigner(b"an agent's own")
    return json.dumps({"type": "policies", "signed": attrs.asdict(by.sign("r1", [policy(9, ALLOW)], 9000))})


def of_another(text: str) -> str:
    return json.dumps({"type": "policies", "signed": attrs.asdict(SIGNER.sign("r2", [policy(9, ALLOW)], 9000))})


def roll_back(text: str) -> str:
    return json.dumps({"type": "policies", "signed": attrs.asdict(SIGNER.sign("r1", [policy(1, ALLOW)], 500))})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (widen, "its signature is wrong"),
        (unsign, "not signed"),
        (sign_anew, "signed with another key"),
        (of_another, "of the runner 'r2'"),
        (roll_back, "older than what was there before"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
async def test_what_somebody_else_wrote_is_not_taken(tmp_path: Path, change: Callable[[str], str], why: str) -> None:
    await kept(tmp_path, signed(policy(2, DENY)))
    file = tmp_path / FILE
    file.write_text(change(file.read_text()))
    (asks,) = PolicyShelf(tmp_path, "r1").of("v").rules
    assert (asks.id, asks.effect) == ("policies.json", "ask")
    assert why in (asks.note or "")
    assert "policies.key" in (asks.note or "")


@pytest.mark.parametrize("name", [FILE, KEY_FILE, SEEN_FILE])
async def test_what_is_gone_is_not_no_rule(tmp_path: Path, name: str) -> None:
    await kept(tmp_path, signed(policy(2, DENY)))
    (tmp_path / name).unlink()
    shelf = PolicyShelf(tmp_path, "r1")
    assert rules(shelf) == ["policies.json"]
    await shelf.replace(signed(policy(2, DENY), at=2000))  # the service is back
    assert rules(shelf) == rules(PolicyShelf(tmp_path, "r1")) == ["no-push"]


async def test_over_the_network_a_replay_and_another_key_are_not_taken_and_a_restored_backup_is(tmp_path: Path) -> None:
    for wrong in (signed(policy(1), at=500), signed(policy(3, ALLOW), by=PolicySigner(b"x"), at=2000)):
        assert rules(await kept(tmp_path, signed(policy(2, DENY)), wrong)) == ["policies.json"]
        assert rules(PolicyShelf(tmp_path, "r1")) == ["no-push"]  # what was good is kept
    assert rules(await kept(tmp_path, signed(policy(1, ALLOW), at=3000))) == ["ls"]


async def test_a_service_of_an_earlier_release_is_obeyed_and_not_kept_behind_one_that_signs(tmp_path: Path) -> None:
    earlier = Policies(policies=[policy(3, ALLOW)])
    assert rules(await kept(tmp_path, earlier)) == ["ls"]
    assert rules(PolicyShelf(tmp_path, "r1")) == ["ls"]
    assert rules(await kept(tmp_path, signed(policy(4, DENY)), earlier)) == ["ls"]
    assert rules(PolicyShelf(tmp_path, "r1")) == ["no-push"]
    forget(tmp_path)  # it joins another service
    assert rules(PolicyShelf(tmp_path, "r1")) == []
