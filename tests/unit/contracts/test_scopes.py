"""Names of scoped ids: no two scopes share one, whatever a runner puts into an id."""

from itertools import product

import pytest

from townwatch.contracts import scopes

ODD = ("a", "a:b", "b", ":", "", "%3A", "a%3Ab", "a/b", "\n", "é", "\ud800", "#" + "0" * 32, "x" * 300)
PAIRS = list(product(ODD, ODD))


@pytest.mark.parametrize(
    "name", [scopes.agent_room, scopes.terminal_room, scopes.repo_room, scopes.actor_name, scopes.approve_command]
)
def test_no_two_pairs_share_a_name(name: object) -> None:
    assert callable(name)
    assert len({name(*pair) for pair in PAIRS}) == len(PAIRS)


def test_rooms_of_different_kinds_are_different() -> None:
    kinds = (scopes.agent_room, scopes.terminal_room, scopes.repo_room)
    names = [room(*pair) for room in kinds for pair in PAIRS] + [scopes.village_room(scopes.scoped(*p)) for p in PAIRS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("village", "thing"), PAIRS)
def test_a_room_knows_its_village_and_its_name_on_the_wire(village: str, thing: str) -> None:
    assert scopes.village_of_room(scopes.village_room(village)) == village
    assert scopes.wire_room(scopes.village_room(village)) == f"village:{village}"
    for kind, room in (("agent", scopes.agent_room), ("terminal", scopes.terminal_room), ("repo", scopes.repo_room)):
        assert scopes.village_of_room(room(village, thing)) == village
        assert scopes.wire_room(room(village, thing)) == f"{kind}:{thing}"


@pytest.mark.parametrize("room", ["", "sid-1", "agent:runner_1", "terminal:", "repo:house", "session:s1", "AGENT:a:b"])
def test_what_is_no_room_of_ours_belongs_to_no_village(room: str) -> None:
    assert scopes.village_of_room(room) is None


@pytest.mark.parametrize("length", [1, 90, 200])
def test_a_command_id_names_its_session_and_fits_where_an_id_fits(length: int) -> None:
    found = scopes.approve_command("s" * length, "a" * length)
    assert found.startswith(f"approve:{'s' * min(length, 100)}")
    assert len(found) <= scopes.ID_LENGTH
