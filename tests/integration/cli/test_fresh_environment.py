"""Everything is imported, and a service starts, where only what `make run` and `pip install` bring is installed."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.support.command_line import Person, one_line

ROOT = Path(__file__).parents[3]
BEFORE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


def not_installed() -> list[str]:
    """Return the modules of this environment that are of no package of requirements.lock, and are not ours."""
    lock = (ROOT / "requirements.lock").read_text()
    locked = {plain(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)}
    found = packages_distributions().items()
    return sorted(module for module, of in found if not {plain(one) for one in of} & {*locked, "townwatch"})


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_module_needs_what_only_tests_and_extras_have() -> None:
    missing = not_installed()
    assert {"psycopg", "pytest", "hypothesis"} <= set(missing) and "trio" not in missing
    packages = sorted(
        path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name not in ("tests", "bench")
    )
    files = [path for name in packages if name != "townwatch" for path in sorted((ROOT / name).rglob("*.py"))]
    names = [".".join(("townwatch", *path.relative_to(ROOT).with_suffix("").parts)) for path in files]
    modules = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
    code = (
        BEFORE.format(missing=missing)
        + f"import importlib\nfor name in {modules!r}:\n    importlib.import_module(name)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_service_starts_without_them(tmp_path: Path) -> None:
    person = Person.below(tmp_path)
    (tmp_path / "fresh").mkdir()
    (tmp_path / "fresh" / "sitecustomize.py").write_text(BEFORE.format(missing=not_installed()))
    path = str(tmp_path / "fresh")
    with person.program("serve", "--port=0", until="signs you in", PYTHONPATH=path) as log:
        assert "listening" in log.read_text()
        done = person.townwatch("doctor", PYTHONPATH=path)
        assert done.returncode == 0 and "psycopg" not in done.stdout + done.stderr, done


def test_a_database_that_needs_more_is_refused_in_a_line_that_says_what_to_install(tmp_path: Path) -> None:
    person = Person.below(tmp_path)
    (tmp_path / "fresh").mkdir()
    (tmp_path / "fresh" / "sitecustomize.py").write_text(BEFORE.format(missing=not_installed()))
    for url, says in (
        ("postgresql://town@127.0.0.1/town", "pip install 'townwatch[postgres]'"),
        ("mysql://town@127.0.0.1/town", "use sqlite or postgresql"),
    ):
        done = person.townwatch("serve", "--port=0", PYTHONPATH=str(tmp_path / "fresh"), TOWNWATCH_DATABASE_URL=url)
        assert says in one_line(done, status=2), url
