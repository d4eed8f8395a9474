"""A later release, as far as a test can know one: the present source with what releases change, to be run beside it."""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHANGED = ("store", "transports")
COPIED = "townwatch"
"""It looks for the other packages beside its own file, wherever a link leads."""


def make(folder: Path, *, breaks: bool) -> dict[str, str]:
    """Write the source of a later release into the folder, and return the environment in which `townwatch` is that
    release. Its tables have more, its first words a newer version and more names, and its trunks frames that this
    release does not know. `breaks`: it says of its tables that earlier releases cannot use them.
    """
    folder.mkdir(parents=True)
    for part in ROOT.iterdir():
        if (part / "__init__.py").exists() and part.name not in (*CHANGED, COPIED):
            (folder / part.name).symlink_to(part)
    shutil.copytree(ROOT / COPIED, folder / COPIED, ignore=shutil.ignore_patterns("__pycache__"))
    for name in CHANGED:
        _link_all(ROOT / name, folder / name)
    more = '(("CREATE TABLE of_a_later_release (a TEXT)", "ALTER TABLE villages ADD COLUMN of_a_later_release TEXT"),)'
    _change(
        folder, "store/migrations.py", "LATEST = len(MIGRATIONS)\n", f"MIGRATIONS += {more}\nLATEST = len(MIGRATIONS)\n"
    )
    if breaks:
        _change(folder, "store/migrations.py", "] = frozenset()\n", "] = frozenset({LATEST})\n")
    relay = "transports/edge/relay/wire.py"
    _change(folder, relay, "VERSION = 1\n", "VERSION = 2\n")
    _change(
        folder, relay, "json.dumps(attrs.asdict(self),", 'json.dumps({**attrs.asdict(self), "ofALaterRelease": [1]},'
    )
    begin = "        buffer = f.FrameBuffer()\n"
    _change(folder, "transports/trunk/far_end.py", begin, f"{begin}        self._tell(200, 7, b'later')\n")
    begin = "        buffer = f.FrameBuffer(f.MOST_OF_A_LINE)\n"
    _change(folder, "transports/trunk/lines.py", begin, f"{begin}        self.tell(201, 7, b'later')\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}


def _link_all(source: Path, target: Path) -> None:
    """Make the folders anew, and in them links to the files."""
    target.mkdir()
    for part in source.iterdir():
        if part.name == "__pycache__":
            continue
        if part.is_dir():
            _link_all(part, target / part.name)
        else:
            (target / part.name).symlink_to(part)


def _change(folder: Path, name: str, old: str, new: str) -> None:
    file = folder / name
    text = file.read_text()
    assert text.count(old) == 1, f"{name} has {text.count(old)} times {old!r}: change this test with it"
    file.unlink()
    file.write_text(text.replace(old, new))
