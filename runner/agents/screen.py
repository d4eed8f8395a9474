"""Draw a conversation for a terminal: for agents that speak a protocol and draw nothing themselves.

Pure: readings in, text out, lines end with CR LF. What the agent says is shown as text; control characters in it are
replaced, so that no agent can move the cursor, set a title or answer a query on a viewer's screen.
"""

import re

import attrs

from townwatch.runner.agents.events import AgentMessage, AgentPlan, Alert, CliSession, Prompt, Subagent, Tool, Turn
from townwatch.runner.agents.readings import Asked, Reading

OUTPUT_LINES = 12
DIFF_LINES = 40
DIM, BOLD, RED, GREEN, YELLOW, CYAN, RESET = (f"\x1b[{code}m" for code in ("2", "1", "31", "32", "33", "36", "0"))
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_MARKS = {"completed": "✔", "in_progress": "▸", "pending": "·"}
_RESULTS = {"completed": f"{DIM}── done{RESET}", "interrupted": f"{YELLOW}── interrupted{RESET}"}


def plain(text: str) -> str:
    """Return the text without control characters, its lines ended for a terminal."""
    return _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n")).replace("\n", "\r\n")


@attrs.define
class ConversationScreen:
    """Draws one conversation. Pieces of a message follow each other; everything else has lines of its own."""

    _role: str | None = None
    _shown: dict[str, str] = attrs.field(factory=dict[str, str])

    def draw(self, reading: Reading) -> str:
        """Return what a reading adds to the screen; "" for what is not drawn."""
        match reading:
            case AgentMessage(text=text, role=role, final=final):
                return self._message(text, role, final)
            case Prompt(text=text):
                return self._line(f"{BOLD}{CYAN}› {plain(text)}{RESET}\r\n")
            case Tool():
                return self._tool(reading)
            case AgentPlan(items=items):
                steps = "".join(f"  {_MARKS.get(item.status, '·')} {plain(item.text)}\r\n" for item in items)
                return self._line(f"{BOLD}Plan{RESET}\r\n{steps}")
            case Asked(question=question):
                asked = f"{YELLOW}? {plain(question.summary)}{RESET}\r\n"
                offered = " · ".join(plain(option.label) for option in question.options)
                return self._line(asked + _diff(question.diff) + f"  {DIM}{offered}{RESET}\r\n")
            case Turn(result=result):
                return self._line(_RESULTS.get(result, f"{RED}── failed{RESET}") + "\r\n")
            case Subagent(name=name, status=status):
                return self._line(f"{DIM}{plain(name)}: {plain(status)}{RESET}\r\n")
            case CliSession(model=model) if model:
                return self._line(f"{DIM}model {plain(model)}{RESET}\r\n")
            case Alert(title=title, description=description):
                return self._line(f"{RED}! {plain(title)}{RESET} {plain(description)}\r\n")
            case _:
                return ""

    def note(self, text: str) -> str:
        """Return a line of our own, as "allowed by Ada"."""
        return self._line(f"  {DIM}{plain(text)}{RESET}\r\n")

    def _message(self, text: str, role: str, final: bool) -> str:
        if final and not text:
            return self._line("")
        begun = "" if self._role == role else self._line("")
        self._role = None if final else role
        shown = plain(text)
        return begun + (f"{DIM}{shown}{RESET}" if role == "thought" else shown) + ("\r\n" if final else "")

    def _tool(self, tool: Tool) -> str:
        title = tool.title or tool.name
        if tool.status == "running":
            if self._shown.get(tool.id) == title:
                return ""
            self._shown[tool.id] = title
            return self._line(f"{BOLD}• {plain(title)}{RESET}\r\n")
        colour = GREEN if tool.status == "ok" else RED
        known = "" if self._shown.pop(tool.id, None) == title else f" {plain(title)}"
        return self._line(f"  {colour}{tool.status}{RESET}{known}\r\n" + _tail(tool.output or ""))

    def _line(self, text: str) -> str:
        """Begin a new line where a message is still open."""
        opened, self._role = self._role is not None, None
        return ("\r\n" if opened else "") + text


def _tail(output: str) -> str:
    lines = output.rstrip().splitlines()
    cut = f"  {DIM}… {len(lines) - OUTPUT_LINES} earlier lines{RESET}\r\n" if len(lines) > OUTPUT_LINES else ""
    return cut + "".join(f"  {DIM}{plain(line)}{RESET}\r\n" for line in lines[-OUTPUT_LINES:])


def _diff(diff: str | None) -> str:
    lines = (diff or "").splitlines()
    colours = {"+": GREEN, "-": RED, "@": CYAN}
    shown = "".join(f"  {colours.get(line[:1], '')}{plain(line)}{RESET}\r\n" for line in lines[:DIFF_LINES])
    cut = f"  {DIM}… {len(lines) - DIFF_LINES} more lines{RESET}\r\n" if len(lines) > DIFF_LINES else ""
    return shown + cut
