"""What of a session's events can be searched: what people saw and said, not how it was drawn; masked."""

from typing import Any

from tests.support.cast import event
from townwatch.app.search.terminal import TerminalText
from townwatch.app.search.texts import PIECE_CHARS, SessionTexts
from townwatch.contracts.codec import encode
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.store.search.records import Piece

ENDED = {
    "finalState": "COMPLETED",
    "totalDurationMs": 1,
    "totalUsage": {
        "agentSeconds": 0,
        "terminalKb": 0,
        "filesTouched": 0,
        "commandsRun": 0,
        "approvalsRequested": 0,
    },
}


def pieces(*events: dict[str, Any]) -> list[Piece]:
    texts = SessionTexts()
    found = [piece for one in events for piece in texts.take(decode_event(encode(one)))]
    return [*found, *texts.flush()]


def said(*events: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one.kind, one.text) for one in pieces(*events)]


def agent(seq: int, kind: str, **fields: Any) -> dict[str, Any]:
    inner = {"type": f"agent.{kind}", "providerId": "codex", "timestamp": 1, **fields}
    return event("PROVIDER_EVENT_FORWARDED", seq, providerEvent=inner)


def chunk(seq: int, data: str) -> dict[str, Any]:
    return event("TERMINAL_CHUNK", seq, data=data, stream="stdout")


def test_prompts_messages_tools_paths_approvals_tests_alerts_and_reasons_are_text() -> None:
    asked = {
        "approvalId": "a", "sessionId": "s1", "category": "shell", "summary": "run it", "risk": "low",
        "requestedAt": 1, "context": {"tool": "Bash", "input": {"command": "npm install left-pad"}},
    }  # fmt: skip
    found = said(
        agent(1, "prompt", text="make the cart cheaper"),
        agent(2, "tool", id="t", name="Bash", status="running", title="ls", input={"command": "ls -la"}),
        agent(3, "tool", id="t", name="Bash", status="ok", output="cart.py"),
        event("FILE_TOUCHED", 4, path="src/shop/cart.py", reason="write"),
        event("FILE_TOUCHED", 5, path="src/shop/cart.py", reason="write"),
        event("TEST_RUN_STARTED", 6, command="pytest -q"),
        event("APPROVAL_REQUESTED", 7, approval=asked),
        event("ALERT_RAISED", 8, alertId="b", severity="warn", category="test", title="slow", description="very"),
        event("SESSION_STATE_CHANGED", 9, previousState="RUNNING", newState="FAILED", reason="no such model"),
    )
    assert found == [
        ("prompt", "make the cart cheaper"),
        ("tool", "ls\nls -la"),
        ("tool", "cart.py"),
        ("path", "src/shop/cart.py"),
        ("test", "pytest -q"),
        ("approval", "run it\nBash\nnpm install left-pad"),
        ("alert", "slow\nvery"),
        ("state", "no such model"),
    ]


def test_a_word_that_a_message_is_cut_in_comes_whole() -> None:
    found = said(
        agent(1, "message", id="m", text="the disc", final=False), agent(2, "message", id="m", text="ount is wrong")
    )
    assert " ".join(text for _, text in found) == "the discount is wrong"


def test_the_terminal_is_text_as_it_stood_there_not_as_it_was_drawn() -> None:
    drawn = "\x1b[32mpas\x1b[0ms\x1b]0;title\x07ed\r\nprogress 10%\rprogress 99%\r\nwrong\b\b\b\b\bright\r\n"
    found = said(chunk(1, drawn[:7]), chunk(2, drawn[7:]), event("SESSION_ENDED", 3, **ENDED))
    shown = "\n".join(text for kind, text in found if kind == "terminal").split("\n")
    assert shown == ["passed", "progress 99%", "right"]


def test_what_a_terminal_draws_unseen_is_no_text() -> None:
    found = said(chunk(1, "you see \x1b[8mcanary\x1b[28m this\r\n"), event("SESSION_ENDED", 2, **ENDED))
    assert found == [("terminal", "you see        this")]


def test_a_repainted_screen_is_taken_once_and_a_counting_row_does_not_fill_the_index() -> None:
    terminal = TerminalText()
    found: list[str] = []
    for second in range(300):
        found += terminal.write(f"\x1b[H\x1b[2Jheading\r\n⠋ Thinking {second} s\r\n> ")
    assert found.count("heading") == 1
    assert len(found) < 20


def test_lines_that_scroll_away_are_all_taken_and_wrapped_ones_are_one() -> None:
    terminal = TerminalText()
    found = terminal.write("".join(f"line {n}\r\n" for n in range(500)) + "x" * 100 + "\r\n")
    assert [one for one in found if one.startswith("line")] == [f"line {n}" for n in range(500)]
    assert "x" * 100 in found


def test_the_same_line_is_found_again_when_it_comes_again_much_later() -> None:
    terminal = TerminalText()
    found = terminal.write("error: refused\r\n" + "".join(f"{n} other\r\n" for n in range(1000)) + "error: refused\r\n")
    assert found.count("error: refused") == 2


def test_a_secret_that_the_events_cut_in_two_is_masked_in_the_index() -> None:
    found = said(chunk(1, "key AKIAIOSF"), chunk(2, "ODNN7EXAMPLE\r\n"), event("SESSION_ENDED", 3, **ENDED))
    assert "AKIAIOSFODNN7EXAMPLE" not in str(found)
    assert "key" in str(found)


def test_long_text_is_in_pieces_that_cut_no_word_and_odd_characters_stop_nothing() -> None:
    found = pieces(agent(1, "prompt", text="\x00\x1b[1m " + "word " * 1000))
    assert len(found) > 2 and all(len(one.text) <= PIECE_CHARS for one in found)
    assert set(" ".join(one.text for one in found).split()) <= {"[1m", "word"}


def test_a_match_in_a_terminal_leads_to_the_event_that_completed_it() -> None:
    (piece,) = pieces(chunk(7, "first "), chunk(9, "half\r\n"), event("SESSION_ENDED", 12, **ENDED))
    assert (piece.text, piece.from_seq, piece.seq) == ("first half", 9, 9)


def test_lines_that_come_apart_lead_to_their_own_places() -> None:
    """Whoever follows a hit sees the screen as it was then, also where the index was behind."""
    at = [{**chunk(seq, f"line {seq}\n"), "ts": ts} for seq, ts in ((1, 1_000), (2, 1_100), (3, 2_000))]
    assert [(one.from_seq, one.seq, one.text) for one in pieces(*at)] == [(1, 2, "line 1\nline 2"), (3, 3, "line 3")]
