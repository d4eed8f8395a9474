"""A state directory in which no files can be kept is one line: what, where, what to do."""

import errno
import os
from pathlib import Path

import pytest

from townwatch.config import writable
from townwatch.config.writable import advice_for, trouble_with


def line(state: Path, *, make: bool = True) -> str:
    found = trouble_with(state, make=make)
    assert found is not None
    assert found.line.startswith(f"{state} cannot be ")
    assert "\n" not in found.line
    assert "--state-dir" in found.line
    return found.line


def test_a_directory_that_can_be_written_to_or_made_is_no_trouble(tmp_path: Path) -> None:
    assert trouble_with(tmp_path) is None
    assert trouble_with(tmp_path / "a" / "b") is None
    assert not (tmp_path / "a").exists()
    assert trouble_with(tmp_path / "a" / "b", make=True) is None
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert os.listdir(tmp_path / "a" / "b") == []


def test_what_is_in_its_place_or_above_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    assert "it is a file; move that away" in line(file)
    assert f"{file} is a file" in line(file / "deep" / "er")
    assert "it is a pipe" in line(tmp_path / "pipe")
    assert "it is a device" in line(Path("/dev/null"))
    assert "Too many levels" in line(tmp_path / "loop")
    assert "File name too long" in line(tmp_path / ("x" * 300))
    assert "no directory can be made there" in line(Path("/proc/townwatch"))


@pytest.mark.parametrize(
    ("number", "said", "passes"),
    [
        (errno.EROFS, "read-only: mount it for writing", False),
        (errno.ENOSPC, "No space left on device; make room", True),
        (errno.EDQUOT, "make room on that disk", True),
        (errno.EACCES, f"(mode 750), and this runs as {writable._name(os.geteuid())}", False),
        (errno.EIO, "dmesg", False),
    ],
)
def test_what_the_disk_says_comes_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str, passes: bool
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path / "x"))

    tmp_path.chmod(0o750)
    monkeypatch.setattr(writable, "_probe", refuse)
    assert said in line(tmp_path)
    found = trouble_with(tmp_path)
    assert found is not None
    assert found.passes is passes


def test_a_file_of_another_user_is_named_with_its_owner(tmp_path: Path) -> None:
    advice = advice_for(PermissionError(errno.EACCES, "Permission denied", "/etc/shadow"))
    assert "/etc/shadow belongs to root (mode" in advice
    assert "chown" in advice
    assert advice_for(OSError("no number")) == "choose another --state-dir"
