"""`townwatch tree` against a running service."""

from pathlib import Path

from tests.support.service import open_town
from townwatch.cli.tree_view import NoTree, fetch, render


async def test_the_tree_is_shown_with_rates_from_the_second_look_on(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        root = await fetch(town.url, town.token)
        first = list(render(root, {}))
        router = next(line for line in first if "router" in line)
        assert "up" in router
        assert "0/4096" in router
        assert any("rest_for_one" in line and "0/10" in line for line in first)
        (again,) = [line for line in render(root, {"townwatch/router": 0}) if "router" in line]
        assert again.split()[-2:] == [str(root_handled(root)), "0"]


def root_handled(root: dict[str, object]) -> int:
    children: object = root["children"]
    assert isinstance(children, list)
    return next(child["mailbox"]["handled"] for child in children if child["id"] == "router")


async def test_a_bad_token_is_one_line(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        try:
            await fetch(town.url, "no")
        except NoTree as error:
            assert "401" in str(error)
        else:
            raise AssertionError
