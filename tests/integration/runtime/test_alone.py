"""runtime and supervision stand alone: a fresh environment with trio, pykka and attrs, and these two folders."""

import shutil
import subprocess
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from tests.unit.runtime.test_docs import EXAMPLES

ROOT = Path(__file__).parents[3]
NEEDED = ("trio", "pykka", "attrs", "sortedcontainers", "idna", "outcome", "sniffio")
"""the three, and what trio itself needs"""


def link(one: Distribution, site: Path) -> None:
    """Make an installed distribution importable from `site`, and nothing beside it."""
    tops = {file.parts[0] for file in one.files or () if file.parts[0] not in ("..", "__pycache__")}
    for top in tops:
        (site / top).symlink_to(Path(str(one.locate_file(top))))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of an environment that has nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in NEEDED:
        link(distribution(name), site)
    (site / "townwatch").mkdir()
    (site / "townwatch" / "__init__.py").touch()
    for name in ("runtime", "supervision"):
        shutil.copytree(ROOT / name, site / "townwatch" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "bin" / "python"


def run(python: Path, where: Path, code: str) -> subprocess.CompletedProcess[str]:
    (where / "program.py").write_text(code)
    return subprocess.run(
        [str(python), "-I", "program.py"], cwd=where, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(("code", "output"), EXAMPLES)
def test_an_example_of_the_docs_pasted_into_a_file_runs(
    fresh: Path, tmp_path: Path, code: str, output: str | None
) -> None:
    done = run(fresh, tmp_path, code)
    assert done.returncode == 0, done.stderr
    assert output is None or done.stdout == output


def test_every_module_can_be_imported_and_pykka_is_as_it_was(fresh: Path, tmp_path: Path) -> None:
    done = run(
        fresh,
        tmp_path,
        """
import importlib, pkgutil, sys
from pykka import ActorRegistry
before = {name: value for name, value in vars(ActorRegistry).items()}
import townwatch.runtime, townwatch.supervision
for package in (townwatch.runtime, townwatch.supervision):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
assert vars(ActorRegistry) == before
assert type(ActorRegistry._actor_refs) is list
others = {name.partition(".")[0] for name in sys.modules} & {"structlog", "cattrs", "msgspec", "pytest"}
assert not others, others
print("fine")
""",
    )
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
