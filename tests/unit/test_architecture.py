"""Arrows between packages run down only; no module imports itself in a circle; folders and files stay small."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support import words

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "cli": {
        *("app", "chaos", "runner", "access", "client", "config", "conformance", "contracts", "net", "policy"),
        *("store", "supervision", "transports"),
    },
    "app": {
        *("chaos", "transports", "notify", "actors", "runner", "access", "cluster", "store", "dashboard", "config"),
        *("contracts", "supervision", "runtime", "policy", "net"),
    },
    "chaos": {
        *("transports", "actors", "runner", "access", "store", "config", "contracts", "net"),
        *("supervision", "runtime"),
    },
    "notify": {"actors", "access", "store", "contracts", "net", "supervision", "runtime"},
    "transports": {"actors", "access", "store", "contracts", "supervision", "runtime", "policy"},
    "actors": {"contracts", "supervision", "runtime", "policy"},
    "access": {"store", "contracts", "net"},
    "cluster": {"store", "contracts"},
    "store": {"contracts"},
    "runner": {"contracts", "net", "policy"},
    "supervision": {"runtime"},
    "runtime": set[str](),
    "policy": {"contracts"},
    "contracts": set[str](),
    "client": {"contracts", "net"},
    "conformance": {"contracts", "net"},
    "net": set[str](),
    "config": set[str](),
    "dashboard": set[str](),
}
"""Package → the packages below it that it may import; imports for type checking count too."""
MAX_LINES, MAX_FILES = 400, 22


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(["townwatch", *(parts[:-1] if parts[-1] == "__init__" else parts)])


MODULES = {name_of(path): path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py")}


def imported(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        named = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        base = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for name in (base + one for one in named):
            while name.startswith("townwatch.") and name not in MODULES:
                name = name.rpartition(".")[0]
            if name in MODULES and MODULES[name] != path:
                yield name


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_what_is_below_it(package: str) -> None:
    for module, path in MODULES.items():
        if module.split(".")[1] == package:
            above = {name for name in imported(path) if name.split(".")[1] not in {package, *MAY_IMPORT[package]}}
            assert not above, f"{module} imports {above}"


def test_a_package_imports_only_public_names_of_others() -> None:
    for module, path in MODULES.items():
        own = module.split(".")[1]
        private = {name for name in imported(path) if "._" in name and name.split(".")[1] != own}
        assert not private, f"{module} imports {private}"


def test_no_module_imports_itself_in_a_circle() -> None:
    TopologicalSorter({module: set(imported(path)) for module, path in MODULES.items()}).prepare()


def test_files_and_folders_stay_small() -> None:
    long = {name: lines for name, path in MODULES.items() if (lines := len(path.read_text().splitlines())) > MAX_LINES}
    assert not long
    folders = {path.parent for path in MODULES.values()}
    assert not {folder: count for folder in folders if (count := len(list(folder.glob("*.py")))) > MAX_FILES}


def test_the_words_stay_plain() -> None:
    """`python3 tests/support/words.py --since main` shows the places."""
    figures = words.measure()
    assert figures.odd_share <= words.ODD_GOAL, figures.odd
    assert len(figures.pronouns) <= words.PRONOUNS_GOAL, figures.pronouns
    assert not figures.doubled, figures.doubled
