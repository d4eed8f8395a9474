"""The small languages inside of commands: sed, awk and jq, as far as it must be told whether they only print. Pure."""

import re

MAX_SCRIPT = 4000
_AWK_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_AWK_REGEX = re.compile(r"(^|[(,~!&|{;\n])(\s*)/(?:[^/\\\n\[]|\\.|\[[^\]\n]*\])+/")


def unsafe_sed(script: str) -> str | None:
    """Return why a script of sed does more than print, or None. A script that cannot be read is unsafe."""
    at, size = 0, len(script)
    if size > MAX_SCRIPT:
        return "a script of sed that is too long"
    depth = 0
    while at < size:
        while at < size and script[at] in " \t\n;":
            at += 1
        if at >= size:
            break
        found = _addresses(script, at)
        if found is None:
            return "a script of sed that cannot be read"
        at = found
        if at >= size:
            return "a script of sed that cannot be read"
        c = script[at]
        at += 1
        if c == "{":
            depth += 1
        elif c == "}":
            depth -= 1
        elif c == "#":
            at = _line_end(script, at)
        elif c in "=dDgGhHnNpPxzF":
            pass
        elif c in "lqQL":
            at = _skip(script, at, " 0123456789")
        elif c in "bt T:".replace(" ", ""):
            at = min((i for i in (script.find(one, at) for one in ";\n}") if i >= 0), default=size)
        elif c in "aic":
            at = _text_end(script, at)
        elif c == "y":
            ends = _delimited(script, at, 2)
            if ends is None:
                return "a script of sed that cannot be read"
            at = ends
        elif c == "s":
            ends = _delimited(script, at, 2)
            if ends is None:
                return "a script of sed that cannot be read"
            flags = re.compile(r"[gpiImM0-9ew]*").match(script, ends)
            assert flags is not None
            if "e" in flags.group() or "w" in flags.group():
                return "sed's flag e runs, w writes"
            at = flags.end()
        elif c in "ewW":
            return f"sed's command {c} runs a program or writes a file"
        elif c in "rR":
            return f"sed's command {c} reads another file"
        else:
            return "a script of sed that cannot be read"
        at = _skip(script, at, " \t")
        if at < size and script[at] not in ";\n}#" and c not in "{}#aic:btT":
            return "a script of sed that cannot be read"
    return None


def _skip(script: str, at: int, letters: str) -> int:
    while at < len(script) and script[at] in letters:
        at += 1
    return at


def _line_end(script: str, at: int) -> int:
    end = script.find("\n", at)
    return len(script) if end < 0 else end


def _text_end(script: str, at: int) -> int:
    """Skip the text of a, i and c: to the end of a line that no backslash continues."""
    while True:
        end = _line_end(script, at)
        if end == len(script) or not script[at:end].endswith("\\"):
            return end
        at = end + 1


def _addresses(script: str, at: int) -> int | None:
    for turn in range(2):
        at = _skip(script, at, " \t")
        c = script[at : at + 1]
        if c == "/" or (c == "\\" and at + 1 < len(script)):
            begin = at if c == "/" else at + 1
            ends = _delimited(script, begin, 1)
            if ends is None:
                return None
            at = _skip(script, ends, "IM")
        elif (match := re.compile(r"\d+(~\d+)?|\$|[+~]\d+").match(script, at)) is not None:
            at = match.end()
        elif turn:
            return None
        at = _skip(script, at, " \t")
        if turn == 0 and script[at : at + 1] == ",":
            at += 1
            continue
        break
    return _skip(script, at, " \t!")


def _delimited(script: str, at: int, parts: int) -> int | None:
    """Return the end of ``/part/`` or ``/part/part/``; None where it is not closed."""
    delimiter = script[at : at + 1]
    if not delimiter or delimiter in "\n\\":
        return None
    at += 1
    for part in range(parts):
        bracket = False
        while at < len(script):
            c = script[at]
            if c == "\\":
                at += 2
                continue
            if part == 0 and c == "[" and not bracket:
                bracket = True
                at += 2 if script[at + 1 : at + 2] in ("]", "^") else 1
                if script[at - 1 : at + 1] == "^]":
                    at += 1
                continue
            if bracket and c == "]":
                bracket = False
            elif c == delimiter and not bracket:
                break
            at += 1
        if at >= len(script):
            return None
        at += 1
    return at


def unsafe_awk(program: str) -> str | None:
    """Return why a program of awk may run, read or write something beyond its input, or None."""
    if len(program) > MAX_SCRIPT:
        return "a program of awk that is too long"
    text = re.sub(
        r"(?m)#.*$", lambda found: found.group() if '"' in found.group() or "/" in found.group() else "", program
    )
    text = _AWK_STRING.sub('""', text)
    text = _AWK_REGEX.sub(r"\1\2 0 ", text)
    if re.search(r"\bsystem\b|\bgetline\b|@|\bENVIRON\b|\bPROCINFO\b|\bARGV\b|\bSYMTAB\b|\bfflush\b|\bclose\b", text):
        return "awk runs a program, reads another file or the environment"
    if "|" in text.replace("||", ""):
        return "awk pipes to a program"
    if re.search(r"\bprintf?\b[^;}\n]*>", text):
        return "awk writes a file"
    if '"' in text.replace('""', ""):
        return "a program of awk that cannot be read"
    return None


def unsafe_jq(program: str) -> str | None:
    """Return why a program of jq shows more than its input, or None."""
    if re.search(r"(?<![.\w])env\b|\$ENV|\$__prog|\b(import|include|input_filename|getpath_env|modulemeta)\b", program):
        return "jq prints the environment or loads code"
    return None
