"""Code that attrs and dataclasses generate is kept between starts, and is never another than they would make now."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from townwatch.cli.compiled import KeptScripts


@pytest.fixture(autouse=True)
def byte_code_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)


def made(file: Path) -> tuple[KeptScripts, Any, Any]:
    with KeptScripts(str(file)) as kept:
        return kept, attrs.make_class("Point", ["x", "y"], frozen=True), dataclasses.make_dataclass("Pair", ["a", "b"])


def test_the_second_start_compiles_nothing_and_makes_the_same_classes(tmp_path: Path) -> None:
    first, _, _ = made(tmp_path / "scripts")
    assert first._used and not first._known
    second, point, pair = made(tmp_path / "scripts")
    assert second._used and second._used.keys() <= second._known.keys()
    assert (
        point(1, 2) == point(1, y=2)
        and hash(point(1, 2)) == hash(point(1, 2))
        and repr(point(1, 2)) == "Point(x=1, y=2)"
    )
    assert pair(1, 2) == pair(1, b=2) != pair(2, 1)


def test_another_class_of_the_same_name_is_compiled_anew(tmp_path: Path) -> None:
    made(tmp_path / "scripts")
    with KeptScripts(str(tmp_path / "scripts")):
        point = attrs.make_class("Point", ["x", "y", "z"], frozen=True)
    assert repr(point(1, 2, 3)) == "Point(x=1, y=2, z=3)"


@pytest.mark.parametrize("content", [b"", b"\0", b"nonsense", b"\xfb"])
def test_a_damaged_file_is_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scripts").write_bytes(content)
    kept, point, _ = made(tmp_path / "scripts")
    assert not kept._known and point(1, 2).y == 2


def test_where_nothing_can_be_kept_all_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(tmp_path / "nowhere" / "scripts")[1](1, 2).x == 1
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made(tmp_path / "scripts")
    assert list(tmp_path.iterdir()) == []


def test_attrs_and_dataclasses_are_themselves_again_afterwards(tmp_path: Path) -> None:
    import attr._make

    made(tmp_path / "scripts")
    assert not {"compile", "hash"} & vars(attr._make).keys() and "exec" not in vars(dataclasses)
