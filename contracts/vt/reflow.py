"""Changing the size of a buffer, with xterm.js's own algorithm: the same lines wrap again."""

from townwatch.contracts.vt.cells import DEFAULT_PEN, Line, has_content, width


class Reflow:
    """All lines of a buffer in one list; `base`: the first that is on the screen."""

    def __init__(self, lines: list[Line], base: int, rows: int) -> None:
        self.lines = lines
        self.base = base
        self.rows = rows
        self.limit = 0
        self.x: int = 0
        self.y: int = 0
        self.saved_x: int = 0
        self.saved_y: int = 0

    def widen(self, cols: int) -> None:
        """Widen every line to this many columns."""
        for line in self.lines:
            line.resize(cols)

    def change_rows(self, old_rows: int, cols: int) -> None:
        """Change the rows: more take lines from the scrollback; fewer drop blank ones below the cursor first."""
        lines, rows, added = self.lines, self.rows, 0
        for _ in range(old_rows, rows):
            if len(lines) < rows + self.base:
                if self.base > 0 and len(lines) <= self.base + self.y + added + 1:
                    self.base -= 1
                    added += 1
                else:
                    lines.append(Line(cols))
        for _ in range(rows, old_rows):
            if len(lines) > rows + self.base:
                if len(lines) > self.base + self.y + 1:
                    lines.pop()
                else:
                    self.base += 1
        self._trim()
        self.x = min(self.x, cols - 1)
        self.y = min(self.y, rows - 1) + added
        self.saved_x = min(self.saved_x, cols - 1)

    def _trim(self) -> None:
        excess = len(self.lines) - self.limit
        if excess > 0:
            del self.lines[:excess]
            self.base = max(self.base - excess, 0)
            self.saved_y = max(self.saved_y - excess, 0)

    def reflow(self, old_cols: int, cols: int) -> None:
        if cols > old_cols:
            self._larger(old_cols, cols)
        else:
            self._smaller(old_cols, cols)

    # --- wider: wrapped lines join ---------------------------------------------------------------

    def _larger(self, old_cols: int, cols: int) -> None:
        lines, cursor = self.lines, self.base + self.y
        remove: list[tuple[int, int]] = []
        y = 0
        while y < len(lines) - 1:
            end = y + 1
            while end < len(lines) and lines[end].wrapped:
                end += 1
            if end > y + 1 and not y <= cursor < end:
                count = _join(lines[y:end], old_cols, cols)
                if count:
                    remove.append((end - count, count))
            y = end
        for start, count in reversed(remove):
            del lines[start : start + count]
        removed = sum(count for _, count in remove)
        for _ in range(removed):
            if self.base == 0:
                if self.y > 0:
                    self.y -= 1
                if len(lines) < self.rows:
                    lines.append(Line(cols))
            else:
                self.base -= 1
        if removed:
            self.saved_y = max(self.saved_y - removed, 0)

    # --- narrower: lines wrap --------------------------------------------------------------------

    def _smaller(self, old_cols: int, cols: int) -> None:
        lines = self.lines
        inserts: list[tuple[int, list[Line]]] = []
        inserted = 0
        y = len(lines) - 1
        while y >= 0:
            if y >= len(lines):  # it was blank, and gave its place to a line above
                y -= 1
                continue
            last, line = y, lines[y]
            if not line.wrapped and line.trimmed() <= cols:
                y -= 1
                continue
            while lines[y].wrapped and y > 0:
                y -= 1
            cursor = self.base + self.y
            if not y <= cursor <= last:
                added = self._split(lines[y : last + 1], old_cols, cols, inserted)
                if added:
                    inserts.append((last + 1, added))
                    inserted += len(added)
            y -= 1
        whole = list(lines)
        for start, added in inserts:  # from the bottom up
            whole[start:start] = added
        excess = len(whole) - self.limit
        if excess > 0:
            del whole[:excess]
        self.lines = whole

    def _split(self, wrapped: list[Line], old_cols: int, cols: int, inserted: int) -> list[Line]:
        """The lines that one logical line needs more. Also moves the cursor and the screen."""
        last_length = wrapped[-1].trimmed()
        lengths = _new_lengths(wrapped, old_cols, cols)
        more = len(lengths) - len(wrapped)
        if self.base == 0 and self.y != len(self.lines) - 1:
            trimmed = max(0, self.y - self.limit + more)
        else:
            trimmed = max(0, len(self.lines) - self.limit + more)
        added = [Line(cols, wrapped=True) for _ in range(more)]
        originals = len(wrapped)
        wrapped = [*wrapped, *added]
        _spread(wrapped, lengths, originals, last_length, old_cols)
        for line, length in zip(wrapped, lengths, strict=False):
            if length < cols:
                line.set(length, "", DEFAULT_PEN)
        for _ in range(more - trimmed):
            if self.base == 0:
                if self.y < self.rows - 1:
                    self.y += 1
                    self.lines.pop()
                else:
                    self.base += 1
            elif self.base < min(self.limit, len(self.lines) + inserted + len(added)) - self.rows:
                self.base += 1
        self.saved_y = min(self.saved_y + more, self.base + self.rows - 1)
        return added


def _join(wrapped: list[Line], old_cols: int, cols: int) -> int:
    """Move the text of wrapped lines up; returns how many of them are left over."""
    at_line, at_column = 0, _wrapped_length(wrapped, 0, old_cols)
    from_line, from_column = 1, 0
    while from_line < len(wrapped):
        length = _wrapped_length(wrapped, from_line, old_cols)
        count = min(length - from_column, cols - at_column)
        wrapped[at_line].copy_from(wrapped[from_line], from_column, at_column, count)
        at_column += count
        if at_column == cols:
            at_line, at_column = at_line + 1, 0
        from_column += count
        if from_column == length:
            from_line, from_column = from_line + 1, 0
        if at_column == 0 and at_line != 0 and width(wrapped[at_line - 1].text[cols - 1]) == 2:
            wrapped[at_line].copy_from(wrapped[at_line - 1], cols - 1, at_column, 1)
            at_column += 1
            wrapped[at_line - 1].set(cols - 1, "", DEFAULT_PEN)
    if at_line < len(wrapped):
        wrapped[at_line].replace(at_column, cols, DEFAULT_PEN)
    left = 0
    for index in range(len(wrapped) - 1, 0, -1):
        if index > at_line or wrapped[index].trimmed() == 0:
            left += 1
        else:
            break
    return left


def _spread(wrapped: list[Line], lengths: list[int], originals: int, last_length: int, old_cols: int) -> None:
    """Move the text of wrapped lines down, from the end."""
    to_line = len(lengths) - 1
    to_column = lengths[to_line] if lengths else 0
    if to_column == 0:
        to_line -= 1
        to_column = lengths[to_line] if lengths else 0
    from_line, from_column = originals - 1, last_length
    while from_line >= 0 and to_line >= 0:
        count = min(from_column, to_column)
        wrapped[to_line].copy_from(wrapped[from_line], from_column - count, to_column - count, count)
        to_column -= count
        if to_column == 0:
            to_line -= 1
            to_column = lengths[to_line] if to_line >= 0 else 0
        from_column -= count
        if from_column == 0:
            from_line -= 1
            from_column = _wrapped_length(wrapped, max(from_line, 0), old_cols)


def _new_lengths(wrapped: list[Line], old_cols: int, cols: int) -> list[int]:
    lengths: list[int] = []
    needed = sum(_wrapped_length(wrapped, index, old_cols) for index in range(len(wrapped)))
    column = line = available = 0
    while available < needed:
        if needed - available < cols:
            lengths.append(needed - available)
            break
        column += cols
        old_length = _wrapped_length(wrapped, line, old_cols)
        if column > old_length:
            column -= old_length
            line += 1
        ends_wide = width(wrapped[line].text[column - 1]) == 2
        if ends_wide:
            column -= 1
        lengths.append(cols - 1 if ends_wide else cols)
        available += lengths[-1]
    return lengths


def _wrapped_length(lines: list[Line], index: int, cols: int) -> int:
    """Columns of a line that belong to the text: not the cell that a wide character did not fit into."""
    line = lines[index]
    if index == len(lines) - 1:
        return line.trimmed()
    last = line.text[cols - 1]
    if not has_content(last) and width(last) == 1 and width(lines[index + 1].text[0]) == 2:
        return cols - 1
    return cols
