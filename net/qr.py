"""Text as a QR code (ISO/IEC 18004): bytes, error correction M, versions 1 to 20. Pure.

The same encoder as `dashboard/js/qr.js`, which draws the page's codes; a test holds the two against each other.
"""

import re
from collections.abc import Callable
from itertools import pairwise

CHECK = (10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26)
"""Of each version, the bytes of error correction of a block."""
BLOCKS = (1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16)
ALIGNED = (
    (), (6, 18), (6, 22), (6, 26), (6, 30), (6, 34), (6, 22, 38), (6, 24, 42), (6, 26, 46), (6, 28, 50), (6, 30, 54),
    (6, 32, 58), (6, 34, 62), (6, 26, 46, 66), (6, 26, 48, 70), (6, 26, 50, 74), (6, 30, 54, 78), (6, 30, 56, 82),
    (6, 30, 58, 86), (6, 34, 62, 90),
)  # fmt: skip
MASKS: tuple[Callable[[int, int], bool], ...] = (
    lambda y, x: (y + x) % 2 == 0,
    lambda y, x: y % 2 == 0,
    lambda y, x: x % 3 == 0,
    lambda y, x: (y + x) % 3 == 0,
    lambda y, x: (y // 2 + x // 3) % 2 == 0,
    lambda y, x: y * x % 2 + y * x % 3 == 0,
    lambda y, x: (y * x % 2 + y * x % 3) % 2 == 0,
    lambda y, x: ((y + x) % 2 + y * x % 3) % 2 == 0,
)
_RUN = re.compile("0{5,}|1{5,}")
_LIKE_A_FINDER = re.compile("(?=10111010000|00001011101)")
_Grid = list[list[bool | None]]

Rows = list[list[bool]]
"""From above to below, True is dark."""


def qr(text: str) -> Rows | None:
    """Return the rows of the code; None where the text is too long (more than 660 bytes or so)."""
    data = text.encode()
    for version in range(1, len(CHECK) + 1):
        room = _total(version) - CHECK[version - 1] * BLOCKS[version - 1]
        if (12 if version < 10 else 20) + len(data) * 8 <= room * 8:
            return _drawn(version, _in_blocks(version, _padded(version, data, room)))
    return None


def _total(version: int) -> int:
    """Bytes of a version, for data and error correction."""
    size, aligned = version * 4 + 17, len(ALIGNED[version - 1])
    marks = (aligned * aligned - 3) * 25 - (aligned - 2) * 10 if aligned else 0
    return (size * size - 3 * 64 - 31 - 2 * (size - 16) - marks - (36 if version >= 7 else 0)) // 8


def _padded(version: int, data: bytes, room: int) -> bytes:
    """Mode, length, the bytes, the end, and padding."""
    bits = f"0100{len(data):0{8 if version < 10 else 16}b}" + "".join(f"{byte:08b}" for byte in data)
    bits += "0" * min(4, room * 8 - len(bits))
    bits += "0" * (-len(bits) % 8)
    found = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    return found + (b"\xec\x11" * room)[: room - len(found)]


def _times(x: int, y: int) -> int:
    """x · y in GF(2⁸) modulo 0x11d."""
    z = 0
    for i in range(7, -1, -1):
        z = (z << 1) ^ ((z >> 7) * 0x11D) ^ ((y >> i & 1) * x)
    return z


def _divisor(degree: int) -> list[int]:
    found, root = [0] * (degree - 1) + [1], 1
    for _ in range(degree):
        found = [_times(one, root) ^ (found[j + 1] if j + 1 < degree else 0) for j, one in enumerate(found)]
        root = _times(root, 2)
    return found


def _check(data: bytes, divisor: list[int]) -> list[int]:
    rest = [0] * len(divisor)
    for byte in data:
        factor = byte ^ rest.pop(0)
        rest.append(0)
        rest = [one ^ _times(by, factor) for one, by in zip(rest, divisor, strict=True)]
    return rest


def _in_blocks(version: int, data: bytes) -> list[int]:
    """Split into blocks, each with its error correction, and interleave them."""
    count = BLOCKS[version - 1]
    short, longer = divmod(len(data), count)  # the last so many have one byte more
    divisor = _divisor(CHECK[version - 1])
    parts: list[bytes] = []
    at = 0
    for number in range(count):
        end = at + short + (number >= count - longer)
        parts.append(data[at:end])
        at = end
    checks = [_check(part, divisor) for part in parts]
    found = [part[i] for i in range(short + 1) for part in parts if i < len(part)]
    return found + [check[i] for i in range(len(divisor)) for check in checks]


def _drawn(version: int, data: list[int]) -> Rows:
    size = version * 4 + 17
    grid: _Grid = [[None] * size for _ in range(size)]  # None: free for data
    _mark(grid, version)
    free = [[one is None for one in row] for row in grid]
    _fill(grid, free, data)
    found: list[Rows] = []
    for number, mask in enumerate(MASKS):
        rows = [[bool(dark) != (free[y][x] and mask(y, x)) for x, dark in enumerate(row)] for y, row in enumerate(grid)]
        _format(rows, number)
        found.append(rows)
    return min(found, key=_penalty)


def _mark(grid: _Grid, version: int) -> None:
    """Draw what every code has: finders, timing, alignment, the version; room for the format."""
    size = len(grid)
    for i in range(size):
        grid[6][i] = grid[i][6] = i % 2 == 0
    for cy, cx in ((3, 3), (3, size - 4), (size - 4, 3)):
        for y in range(-4, 5):
            for x in range(-4, 5):
                if 0 <= cy + y < size and 0 <= cx + x < size:
                    grid[cy + y][cx + x] = max(abs(y), abs(x)) not in (2, 4)
    at = ALIGNED[version - 1]
    corners: set[tuple[int, int]] = {(at[0], at[0]), (at[0], at[-1]), (at[-1], at[0])} if at else set()
    for cy, cx in {(cy, cx) for cy in at for cx in at} - corners:
        for y in range(-2, 3):
            for x in range(-2, 3):
                grid[cy + y][cx + x] = max(abs(y), abs(x)) != 1
    _format(grid, 0)
    if version >= 7:
        bits = version << 12 | _remainder(version, 12, 0x1F25)
        for i in range(18):
            a, b = size - 11 + i % 3, i // 3
            grid[a][b] = grid[b][a] = bits >> i & 1 == 1


def _format(rows: _Grid | Rows, mask: int) -> None:
    """Error correction M and the mask's number, twice."""
    size = len(rows)
    bits = (mask << 10 | _remainder(mask, 10, 0x537)) ^ 0x5412
    for i in range(15):
        dark = bits >> i & 1 == 1
        y, x = (i, 8) if i < 6 else (i + 1, 8) if i < 8 else (8, 7) if i == 8 else (8, 14 - i)
        rows[y][x] = dark
        y, x = (8, size - 1 - i) if i < 8 else (size - 15 + i, 8)
        rows[y][x] = dark
    rows[size - 8][8] = True


def _remainder(value: int, degree: int, generator: int) -> int:
    rest = value
    for _ in range(degree):
        rest = (rest << 1) ^ ((rest >> (degree - 1)) * generator)
    return rest


def _fill(grid: _Grid, free: Rows, data: list[int]) -> None:
    """Write the data in columns of two from the right, up and down by turns."""
    size, at = len(grid), 0
    for right in (*range(size - 1, 6, -2), 5, 3, 1):
        for step in range(size):
            y = size - 1 - step if (right + 1) & 2 == 0 else step
            for x in (right, right - 1):
                if free[y][x]:
                    grid[y][x] = at < len(data) * 8 and data[at >> 3] >> (7 - (at & 7)) & 1 == 1
                    at += 1


def _penalty(rows: Rows) -> int:
    """Return how hard it is to read: runs, blocks, what looks like a finder, and too much of one colour."""
    size = len(rows)
    lines = ["".join("01"[dark] for dark in line) for line in (*rows, *zip(*rows, strict=True))]
    bad = sum(len(run) - 2 for line in lines for run in _RUN.findall(line))
    bad += 40 * sum(len(_LIKE_A_FINDER.findall(line)) for line in lines)
    for above, row in pairwise(rows):
        bad += 3 * sum(above[x] == above[x - 1] == row[x] == row[x - 1] for x in range(1, size))
    dark = sum(map(sum, rows))
    return bad + 10 * max(0, -(-abs(dark * 20 - size * size * 10) // (size * size)) - 1)
