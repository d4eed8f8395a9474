"""Command lines and rules: our own cases of all kinds that are known to bypass allow-lists or to block too much."""

from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from townwatch.policy.commands.paths import Place
from townwatch.policy.rules import BadRule, command_policy, decide_command

CASES = [
    line.split(" | ", 2)
    for name in ("siblings.txt", "reviewed.txt", "reported.txt")
    for line in (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
LINKS = Place(
    links={
        "/work/app/link": "/home/dev/.ssh",
        "/work/app/out/l": "/etc",
        "/work/app/src/e": "../.env",
        "/work/app/d": "/",
    }
)


def verdict(rules: list[str], command: str, place: Place | None = None, shell: str = "bash") -> str:
    return decide_command(command_policy(rules, place or Place()), command, shell).verdict


def test_every_case_is_decided_as_it_says() -> None:
    wrong = [
        (want, found, rules, command)
        for want, rules, command in CASES
        if (found := verdict([one.strip() for one in rules.split(" ;; ")], command.replace("⏎", "\n"))) != want
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("want", "rules", "command", "place"),
    [
        ("deny", ["allow: cat *", "deny-path: ~/.ssh/**"], "cat link/id_rsa", LINKS),
        ("deny", ["allow: cat *", "deny-path: ~/.ssh/**"], "cat d/home/dev/link/../.ssh/id_rsa", LINKS),
        ("deny", ["allow: cat *", "deny-path: **/.env"], "cat src/e", LINKS),
        ("ask", ["allow: echo *", "allow-write: ./out/**"], "echo x > out/l/passwd", LINKS),
        ("ask", ["allow: cp *"], "cp a link", LINKS),
        ("ask", ["allow: ls *"], "cd link && ls", LINKS),
        ("ask", ["allow: git status *"], "cd a/b && git status", Place(files=frozenset({"/work/app/a/.git"}))),
        ("allow", ["allow: git status *"], "cd a && git status", Place(files=frozenset({"/work/app/.git/HEAD"}))),
        ("deny", ["allow: cat *", "deny-path: **/.env"], "cat .ENV", Place(fold_case=True)),
        ("allow", ["allow: cat *", "deny-path: **/.env"], "cat .ENV", Place()),
    ],
)
def test_links_files_and_case_count(want: str, rules: list[str], command: str, place: Place) -> None:
    assert verdict(rules, command, place) == want


def test_shells_that_are_not_parsed_ask() -> None:
    assert verdict(["allow: ls *"], "ls *(e:rm:)", shell="zsh") == "ask"
    assert verdict(["allow: git status *"], "git status", shell="zsh") == "allow"
    assert verdict(["deny: Remove-Item *"], "ls; ri -r x", shell="pwsh") == "deny"
    assert verdict(["allow: echo *"], "echo !$", shell="bash-interactive") == "ask"
    assert verdict(["allow: echo *"], "echo 'a!b'", shell="bash-interactive") == "allow"
    assert verdict(["allow: echo *"], "echo \"it's !rm isn't\"", shell="bash-interactive") == "ask"
    assert verdict(["allow: echo *"], 'echo "done!"', shell="bash-interactive") == "allow"


LONG = {
    "commands": "true;" * 3000 + "rm x",
    "words": "echo " + "x " * 10_000 + "; rm x",
    "deep": "echo $(" * 200 + "rm x" + ")" * 200,
    "wrappers": "nice " * 300 + "rm x",
    "blank lines": "\n" * 100_000 + "rm x",
    "loops": "for i in 1 2 3 4 5 6 7 8 9; do " * 8 + "rm $i;" + " done;" * 8,
    "pipes": "echo a |" * 2000 + "rm x",
}


@pytest.mark.parametrize("name", LONG)
def test_length_hides_no_denial(name: str) -> None:
    assert verdict(["allow: true", "allow: echo *", "deny: rm *"], LONG[name]) == "deny"


@pytest.mark.parametrize(
    "command",
    [
        "$(" * 3000,
        "`" * 3001,
        '"$(' * 3000,
        "${a:-" * 3000,
        "((" * 500,
        "{a,b}" * 40,
        "echo {1..999999999}",
        "cat " + "*" * 600,
    ],
)
def test_hopeless_texts_ask(command: str) -> None:
    assert verdict(["allow: *", "deny-path: **/.env"], command) == "ask"


def test_a_line_that_is_no_rule_is_refused() -> None:
    with pytest.raises(BadRule, match="KIND: TEXT"):
        command_policy(["permit: ls"], Place())


WORDS = (
    "ls rm git push echo cat -rf --force sudo env bash -c x .env ~/.ssh $x A=1 sh xargs find -exec tar src/a".split()
)
SYNTAX = [
    *(
        " ",
        "  ",
        "\n",
        "\t",
        ";",
        "&&",
        "||",
        "|",
        "&",
        "(",
        ")",
        "{ ",
        "; }",
        "$(",
        "`",
        "'",
        '"',
        "\\",
        "<",
        ">",
        "<<E\n",
    ),
    *(
        "E\n",
        "$((",
        "))",
        "${",
        "}",
        "*",
        "?",
        "[",
        "]",
        "~",
        "#",
        "!",
        "if ",
        "then ",
        "fi",
        "for i in ",
        "do ",
        "done",
        "=",
    ),
]
LINES = st.lists(st.sampled_from(WORDS + SYNTAX + [" "] * 20), max_size=24).map("".join)
RULES = st.lists(
    st.builds(
        "{}: {}".format,
        st.sampled_from(["allow", "ask", "deny"]),
        st.sampled_from(
            ["*", "ls *", "rm *", "git *", "git push *", "echo *", "cat *", "rm -rf *", "sudo ls *", "tar *", "bash *"]
        ),
    ),
    max_size=5,
)
RANK = {"allow": 0, "ask": 1, "deny": 2}


@settings(max_examples=300, deadline=None)
@given(
    RULES,
    LINES,
    st.sampled_from(["deny: rm *", "deny: *", "deny-path: **/.env", "deny-net: evil.example", "deny: git push *"]),
)
def test_a_deny_more_never_makes_it_softer(rules: list[str], line: str, more: str) -> None:
    assert RANK[verdict([*rules, more], line)] >= RANK[verdict(rules, line)]


@settings(max_examples=300, deadline=None)
@given(RULES, LINES, st.sampled_from(["; rm x", " && rm x", "\nrm x", " | rm x", " & rm x"]))
def test_a_denied_command_behind_it_is_never_allowed(rules: list[str], line: str, tail: str) -> None:
    found = verdict([*rules, "deny: rm *"], line + tail)
    assert found != "allow" or any(c in line for c in "'\"#\\`<{"), "only text can hide it"
