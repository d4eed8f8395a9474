"""Write contracts/vt/widths_table.py from the addon that the page uses: python -m tests.terminal.make_widths"""

import subprocess
import textwrap
from pathlib import Path

from tests.support.service import JS, node

TABLE = Path(__file__).parents[2] / "contracts" / "vt" / "widths_table.py"
HEAD = '''"""Width and grapheme class of every character: Unicode 15, as @xterm/addon-unicode-graphemes 0.4 has them.

Written by `python -m tests.terminal.make_widths`. Ranges in order: how far each begins behind the one before
(hexadecimal), then a letter for class and width: g … r are the classes 0 … 11 one cell wide, A … L the same, two cells.
"""

RANGES = (
'''


def table() -> str:
    """The module's text."""
    printed = subprocess.run([node(), "unicode_table.mjs"], cwd=JS, check=True, capture_output=True, text=True).stdout
    parts: list[str] = []
    before = 0
    for row in printed.splitlines():
        code, kind, width = row.split()
        letter = ("ABCDEFGHIJKL" if width == "2" else "ghijklmnopqr")[int(kind)]
        parts.append(f"{int(code, 16) - before:x}{letter}")
        before = int(code, 16)
    lines = textwrap.wrap("".join(parts), 110)
    return HEAD + "\n".join(f'    "{line}"' for line in lines) + "\n)\n"


if __name__ == "__main__":
    TABLE.write_text(table())
