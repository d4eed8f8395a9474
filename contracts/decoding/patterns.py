"""Patterns of texts on the wire, and what they say in words.

They are in the dialect that JSON Schema and Python share: `$` is the end of the text (`codec` sees to it), and blanks
are written out, for `\\s` is not the same in both.
"""

_BLANKS = r"\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
ONE_WORD = f"^[^-{_BLANKS}][^{_BLANKS}]*$"
"""No blanks, and no `-` in front: it stands in a command line."""

WORDS = {
    NO_CONTROLS: "must not have control characters",
    ONE_WORD: "must have no blanks and not begin with -",
}


def to_the_end(pattern: str) -> str:
    """Return the pattern for Python's `re`, whose `$` would let a line feed follow."""
    return f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern


def as_written(pattern: str) -> str:
    """Return what `to_the_end` was given."""
    return f"{pattern[:-2]}$" if pattern.endswith("\\Z") else pattern
