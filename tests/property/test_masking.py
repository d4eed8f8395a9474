"""A stream is masked like the whole, wherever it is cut; and nothing is shown that the expressions of old hid."""

import re

from hypothesis import given, settings, strategies as st

from townwatch.contracts.secrets.scanner import BEGINNINGS
from townwatch.contracts.secrets.shapes import masked_text
from townwatch.runner.session.redact import Redactor

VALUES = ["hunter2-hunter2", "one line is this\nand here is another", "abcdefgh" * 12, 's3cr3t/"+va lue&9']
EXPRESSIONS = re.compile(
    r"""
      \b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{36,}\b
    | \bgithub_pat_[A-Za-z0-9_]{40,}\b
    | \bglpat-[A-Za-z0-9_-]{20,}
    | \bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}
    | \bxox[abposr]-[A-Za-z0-9-]{10,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
    | \bAIza[A-Za-z0-9_-]{35}
    | \btw[rce]?_[A-Za-z0-9_-]{20,}
    | \beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}
    """,
    re.VERBOSE,
)
"""What was masked at first, by backtracking."""

pieces = st.one_of(
    st.sampled_from(
        [
            *(*BEGINNINGS, "sk-ant-", "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----", "a" * 5),
            *("A1" * 4, "aB3" * 7, "x" * 36, "Q" * 16, ".", "-", " ", "\n", "\r\n", "_", "\x1b[31m", "\\n", "%3D", "é"),
        ]
    ),
    st.sampled_from(VALUES).flatmap(lambda value: st.integers(1, len(value)).map(lambda length: value[:length])),
    st.sampled_from(BEGINNINGS).flatmap(lambda start: st.integers(1, 60).map(lambda times: f"-{start}" * times)),
)
texts = st.lists(pieces, max_size=25).map("".join)


@given(texts, st.lists(st.integers(1, 40), min_size=1, max_size=30), st.booleans())
@settings(max_examples=200, deadline=None)
def test_pieces_come_out_as_the_whole(text: str, sizes: list[int], knows_values: bool) -> None:
    secrets = VALUES if knows_values else []
    redactor, shown, at, turn = Redactor(secrets), "", 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        shown += redactor.feed(text[at : at + size])
        at, turn = at + size, turn + 1
    assert shown + redactor.flush() == Redactor(secrets).clean(text)


@given(texts)
@settings(max_examples=300, deadline=None)
def test_nothing_is_shown_that_the_expressions_of_old_hid(text: str) -> None:
    shown = masked_text(text)
    for match in EXPRESSIONS.finditer(text):
        assert match[0] not in shown
