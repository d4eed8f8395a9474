"""Where a session's control group can be made: read from what the kernel says of this process."""

from pathlib import Path

import pytest

from townwatch.runner.session.system import cgroups

UNIFIED = "29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "30 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "31 23 0:28 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n"
)
IN_A_CONTAINER = "40 23 0:26 /docker/abc /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n"
USER = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-u1.scope\n"


@pytest.mark.parametrize(
    ("mounts", "groups", "where"),
    [
        (UNIFIED, USER, "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-u1.scope"),
        (UNIFIED, "0::/\n", "/sys/fs/cgroup"),
        (HYBRID, "4:memory:/x\n0::/\n", "/sys/fs/cgroup/unified"),
        (IN_A_CONTAINER, "0::/docker/abc/inner\n", "/sys/fs/cgroup/inner"),
        (IN_A_CONTAINER, "0::/docker/other\n", None),  # mounted from elsewhere: not ours to see
        (UNIFIED, "0::/../outside\n", None),  # moved out of its namespace
        (HYBRID.splitlines()[0], "4:memory:/x\n", None),  # version 1 alone
        ("", "", None),
    ],
)
def test_where_a_group_of_ours_would_be(mounts: str, groups: str, where: str | None) -> None:
    assert cgroups._own_directory(mounts, groups) == (None if where is None else Path(where))


def test_a_name_that_every_file_system_takes() -> None:
    names = {cgroups.name_for(one) for one in ("a", "b", "../../etc", "x" * 300, "ü/\n")}
    assert len(names) == 5
    assert all(len(name) < 40 and name.replace("-", "").isalnum() for name in names)


def test_where_none_can_be_made_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "usable", lambda: None)
    assert cgroups.make("a") is None
    cgroups.kill_left("a")


def test_one_that_is_taken_away_meanwhile_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cgroups, "usable", lambda: tmp_path / "gone")
    assert cgroups.make("a") is None
    monkeypatch.setattr(cgroups, "usable", lambda: tmp_path)  # no control group at all: it has no cgroup.procs
    assert cgroups.make("a") is None
