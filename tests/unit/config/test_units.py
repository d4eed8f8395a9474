"""The systemd units that are shipped: what they promise about who can read the service's secret."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[3] / "packaging" / "systemd"
NAMES = ["townwatch.service", "townwatch-runner@.service", "townwatch-runner-as@.service"]


def directives(name: str) -> dict[str, str]:
    """Option → value of a unit, of its last line with that option."""
    lines = (UNITS / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_these_are_all_units() -> None:
    assert sorted(path.name for path in UNITS.glob("*.service")) == sorted(NAMES)


def test_the_service_is_a_user_of_its_own_without_rights() -> None:
    found = directives("townwatch.service")
    wanted = {
        "DynamicUser": "yes",
        "StateDirectory": "townwatch",
        "StateDirectoryMode": "0700",
        "UMask": "0077",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "ProtectHome": "yes",
        "ProtectProc": "invisible",
        "Type": "notify",
    }
    assert {name: found.get(name) for name in wanted} == wanted


def test_a_runner_is_a_person_or_executes_sessions_as_another_user() -> None:
    assert directives("townwatch-runner@.service")["User"] == "%i"
    found = directives("townwatch-runner-as@.service")
    assert "User" not in found and " --run-as %i " in found["ExecStart"]
    from townwatch.runner.account import CAPABILITIES

    assert set(CAPABILITIES) <= set(found["CapabilityBoundingSet"].split())


@pytest.mark.parametrize("name", NAMES)
def test_state_is_in_a_directory_that_only_its_user_enters(name: str) -> None:
    found = directives(name)
    assert found["StateDirectoryMode"] == "0700"
    assert found["ExecStart"].endswith(f"--state-dir /var/lib/{found['StateDirectory']}")


@pytest.mark.parametrize("name", NAMES)
def test_systemd_understands_it(name: str, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    text = (UNITS / name).read_text(encoding="utf-8")
    copy = tmp_path / name.replace("@", "@root")
    copy.write_text(text.replace("/opt/townwatch/.townwatch/venv/bin/townwatch", sys.executable), encoding="utf-8")
    done = subprocess.run([program, "verify", str(copy)], capture_output=True, text=True, check=False, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if copy.name in line]
    assert complaints == [], done.stderr
