"""The simple commands in a line of shell, as far as they can be told apart without running it. Pure."""

import shlex

SEPARATORS = frozenset({";", "&&", "||", "|", "|&", "&", "\n", "(", ")", "{", "}", ";;", "!"})
_LONGEST = 16 * 1024
"""Longer lines carry a document, not commands: only their beginning is looked at."""


def simple_commands(line: str) -> list[list[str]]:
    """Return the words of each simple command; an empty list where the quotes do not close.

    >>> simple_commands("cd app && FOO=1 pytest -q 2>&1 | tail -5")
    [['cd', 'app'], ['FOO=1', 'pytest', '-q'], ['tail', '-5']]
    """
    lexer = shlex.shlex(line[:_LONGEST], posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    commands: list[list[str]] = [[]]
    try:
        words = list(lexer)
    except ValueError:
        return []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in SEPARATORS or (word and not word.strip(";&|()\n")):
            commands.append([])
        elif word and not word.strip("<>&"):  # a redirection: what follows is its file
            skip = True
            if commands[-1] and commands[-1][-1].isdigit():
                commands[-1].pop()
        else:
            commands[-1].append(word)
    return [one for one in commands if one]
