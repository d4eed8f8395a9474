"""Rows straight from the leaf pages of a SQLite file, for tables whose inner pages are gone.

A leaf page of a table begins with 13; its cells hold the row's number and its values. A page that was freed may hold
rows that were deleted since, so the caller has to judge what it gets.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

Value = int | float | bytes | str | None
_LEAF = 13


def leaf_rows(file: Path, columns: int) -> Iterator[tuple[int, list[Value]]]:
    """(rowid, values) of every row with so many columns, page by page; what cannot be parsed is passed over."""
    content = file.read_bytes()
    size = int.from_bytes(content[16:18], "big")
    size = 65536 if size == 1 else size
    for start in range(0, len(content) - size + 1, size):
        page = content[start : start + size]
        begin = 100 if start == 0 else 0
        if page[begin] != _LEAF:
            continue
        for number in range(min(int.from_bytes(page[begin + 3 : begin + 5], "big"), size // 4)):
            at = begin + 8 + 2 * number
            cell = int.from_bytes(page[at : at + 2], "big")
            try:
                rowid, payload = _cell(content, page, cell, size)
                values = _record(payload, columns)
            except (IndexError, ValueError):
                continue
            if values is not None:
                yield rowid, values


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for number in range(8):
        byte = data[at + number]
        value = (value << 7) | (byte & 0x7F)
        if byte < 0x80:
            return value, at + number + 1
    return (value << 8) | data[at + 8], at + 9


def _cell(content: bytes, page: bytes, at: int, size: int) -> tuple[int, bytes]:
    length, at = _varint(page, at)
    rowid, at = _varint(page, at)
    if length > len(content):
        raise ValueError("a cell that is longer than the file")
    most, least = size - 35, (size - 12) * 32 // 255 - 23
    if length <= most:
        local = length
    else:
        local = least + (length - least) % (size - 4)
        local = local if local <= most else least
    payload = bytearray(page[at : at + local])
    following = int.from_bytes(page[at + local : at + local + 4], "big") if local < length else 0
    while len(payload) < length:
        begin = (following - 1) * size
        if following < 1 or begin + size > len(content):
            raise ValueError("the rest of a row is gone")
        payload += content[begin + 4 : begin + min(size, 4 + length - len(payload))]
        following = int.from_bytes(content[begin : begin + 4], "big")
    return rowid, bytes(payload)


def _record(payload: bytes, columns: int) -> list[Value] | None:
    head, at = _varint(payload, 0)
    kinds: list[int] = []
    while at < head:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    if len(kinds) != columns or at != head:
        return None
    values: list[Value] = []
    for kind in kinds:
        width = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)[kind] if kind < 12 else (kind - 12) // 2
        cell = payload[at : at + width]
        if len(cell) < width:
            return None
        at += width
        values.append(_value(kind, cell))
    return values


def _value(kind: int, cell: bytes) -> Value:
    if kind == 0 or kind in (10, 11):
        return None
    if kind == 7:
        return float(struct.unpack(">d", cell)[0])
    if kind < 7:
        return int.from_bytes(cell, "big", signed=True)
    if kind in (8, 9):
        return kind - 8
    return cell if kind % 2 == 0 else cell.decode("utf-8", "surrogateescape")
