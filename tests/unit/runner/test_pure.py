"""The runner's decisions: lifecycle, masking, usage, identity, a slot of one's own."""

import json
import os
import stat
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import assume, given, strategies as st

from townwatch.contracts.events import FINAL_STATES, is_transition
from townwatch.runner import identity
from townwatch.runner.identity import Identity, NotEnrolled
from townwatch.runner.observers.usage import UsageMeter
from townwatch.runner.session.lifecycle import Lifecycle, NotPossible
from townwatch.runner.session.redact import MASK, Redactor, secrets_of
from townwatch.runner.slots import SlotTaken, take_slot

# --- lifecycle --------------------------------------------------------------------------------------------------------

LAWFUL = {
    "CREATED": {"PREPARING_WORKSPACE", "STOPPING"},
    "PREPARING_WORKSPACE": {"STARTING_PROVIDER", "FAILED", "STOPPING"},
    "STARTING_PROVIDER": {"RUNNING", "FAILED", "STOPPING"},
    "RUNNING": {"WAITING_FOR_APPROVAL", "PAUSED_BY_HUMAN", "STOPPING", "COMPLETED", "FAILED"},
    "WAITING_FOR_APPROVAL": {"RUNNING", "STOPPING", "PAUSED_BY_HUMAN", "FAILED"},
    "PAUSED_BY_HUMAN": {"RUNNING", "STOPPING", "FAILED"},
    "STOPPING": {"COMPLETED", "FAILED"},
    "COMPLETED": set[str](),
    "FAILED": set[str](),
}


@pytest.mark.parametrize(("before", "after"), list(product(LAWFUL, LAWFUL)))
def test_a_session_goes_only_where_the_contract_lets_it(before: str, after: str) -> None:
    lifecycle = Lifecycle(state=before)
    if before == after:
        assert lifecycle.go(after) is None
    elif after in LAWFUL[before]:
        assert lifecycle.go(after) == (before, after)
        assert lifecycle.state == after
    else:
        with pytest.raises(NotPossible, match=f"{before} cannot become {after}"):
            lifecycle.go(after)
        assert lifecycle.state == before


@pytest.mark.parametrize(("state", "ok"), list(product([s for s in LAWFUL if s not in FINAL_STATES], [True, False])))
def test_every_live_state_has_a_lawful_way_to_its_end(state: str, ok: bool) -> None:
    path = Lifecycle(state=state).path_to_end(ok)
    assert path[-1] == ("COMPLETED" if ok else "FAILED")
    assert all(is_transition(one, two) for one, two in pairwise([state, *path]))


# --- secrets ----------------------------------------------------------------------------------------------------------

KEY = "-----BEGIN RSA PRIVATE KEY-----\r\n" + "MIIabc+/\r\n" * 20 + "-----END RSA PRIVATE KEY-----"
SHAPED = [
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "x" * 50,
    "glpat-" + "y" * 20,
    "sk-ant-" + "z" * 30,
    "xoxb-" + "1" * 12,
    "AKIA" + "Q" * 16,
    "AIza" + "k" * 35,
    "tw_" + "t" * 24,
    "eyJ" + "a" * 12 + "." + "b" * 900 + "." + "c" * 12,
    KEY,
]
PUBLIC = 5
"""As much of a token's prefix may have been given out before it could be known for one."""


@pytest.mark.parametrize("secret", SHAPED, ids=lambda secret: secret[:8])
def test_a_token_is_masked_wherever_the_stream_is_cut(secret: str) -> None:
    text = f"token: {secret} end"
    for cut in range(len(text) + 1):
        redactor = Redactor()
        shown = redactor.feed(text[:cut]) + redactor.feed(text[cut:]) + redactor.flush()
        assert secret[PUBLIC:25] not in shown, cut
        assert secret[-10:] not in shown, cut
        assert MASK in shown
        assert shown.startswith("token: ")
        assert shown.endswith(" end")


@pytest.mark.parametrize("secret", ["hunter2-hunter2", "/aws+secret/key==", "aaaaaaaab", "zwölf-Boxkämpfer"])
def test_a_value_of_the_environment_is_masked_wherever_the_stream_is_cut(secret: str) -> None:
    text = f"it is {secret}."
    for first, second in product(range(len(text) + 1), repeat=2):
        if first <= second:
            redactor = Redactor([secret])
            pieces = (text[:first], text[first:second], text[second:])
            assert "".join(redactor.feed(piece) for piece in pieces) + redactor.flush() == f"it is {MASK}."


def test_a_secret_of_several_lines_is_masked_as_a_terminal_shows_it() -> None:
    assert Redactor(["line one\nline two"]).clean("<line one\r\nline two>") == f"<{MASK}>"


SHORTEST = 20
"""No token that is known by its shape is shorter."""


@given(st.lists(st.text(alphabet="ab-_ ghpsk\n", max_size=8), max_size=30))
def test_what_is_no_secret_comes_out_as_it_went_in(pieces: list[str]) -> None:
    assume(all(len(word) < SHORTEST for word in "".join(pieces).split()))  # sk-____________________ looks like a token
    redactor = Redactor(["secret-value"])
    assert "".join(redactor.feed(piece) for piece in pieces) + redactor.flush() == "".join(pieces)


def test_data_is_masked_in_every_text_it_holds() -> None:
    data = {"a": ["hunter2-hunter2", 1, None], "hunter2-hunter2": {"b": "x hunter2-hunter2"}}
    assert Redactor(["hunter2-hunter2"]).clean_data(data) == {"a": [MASK, 1, None], MASK: {"b": f"x {MASK}"}}


def test_which_variables_are_secret() -> None:
    environment = {
        "API_KEY": "12345678", "DB_PASSWORD": "/starts/with=a=slash", "SHORT_TOKEN": "1", "HOME": "/home/somebody",
        "SSH_AUTH_SOCK": "/tmp/agent.socket", "TOWNWATCH_ASK_TOKEN": "abcdefghij", "TOWNWATCH_ASK": "127.0.0.1:4444",
    }  # fmt: skip
    assert set(secrets_of(environment)) == {"12345678", "/starts/with=a=slash", "abcdefghij"}


# --- usage ------------------------------------------------------------------------------------------------------------

steps = st.lists(st.sampled_from(["terminal", "file", "command", "approval", "tokens", "take"]), max_size=60)


@given(steps)
def test_the_ticks_add_up_to_the_total(done: list[str]) -> None:
    meter = UsageMeter()
    taken = []
    for step in [*done, "take"]:
        match step:
            case "take":
                taken.append(meter.take()[0])
            case "terminal":
                meter.terminal(123)
            case "tokens":
                meter.tokens(10, 3, 0.25)
            case other:
                getattr(meter, other)()
    total = meter.total
    assert total.files_touched == sum(units.files_touched for units in taken) == done.count("file")
    assert total.commands_run == done.count("command")
    assert total.approvals_requested == done.count("approval")
    assert total.terminal_kb == pytest.approx(done.count("terminal") * 0.123)
    assert total.agent_seconds == pytest.approx(sum(units.agent_seconds for units in taken))
    if "tokens" in done:
        assert (total.input_tokens, total.output_tokens) == (10 * done.count("tokens"), 3 * done.count("tokens"))
        assert total.cost_usd == pytest.approx(0.25 * done.count("tokens"))
    else:
        assert (total.input_tokens, total.output_tokens, total.cost_usd) == (None, None, None)


def test_a_cost_that_nobody_says_is_unknown_and_not_nothing() -> None:
    meter = UsageMeter()
    meter.tokens(10, 3, None)
    assert (meter.take()[0].input_tokens, meter.total.cost_usd) == (10, None)
    meter.tokens(10, 3, 0.0)
    assert meter.take()[0].cost_usd == 0
    assert (meter.total.input_tokens, meter.total.cost_usd) == (20, 0)


# --- identity and slot ------------------------------------------------------------------------------------------------


def test_who_the_runner_is_comes_back_and_only_its_user_can_read_it(tmp_path: Path) -> None:
    known = Identity(runner_id="r1", token="t", url="wss://x/runner", village="v", name="n")
    identity.save(tmp_path / "new", known)
    assert identity.load(tmp_path / "new") == known
    assert stat.S_IMODE((tmp_path / "new" / "runner.json").stat().st_mode) == 0o600
    assert os.listdir(tmp_path / "new") == ["runner.json"]


def test_a_runner_that_was_never_enrolled_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotEnrolled, match="is not there: start the service here once"):
        identity.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"runnerId": "r1"}), "null"])
def test_a_broken_enrolment_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "runner.json").write_text(text)
    with pytest.raises(NotEnrolled, match=r"cannot be used .* delete it"):
        identity.load(tmp_path)


def test_runners_beside_each_other_have_a_slot_each_and_a_free_one_is_found_again(tmp_path: Path) -> None:
    one, two = take_slot(tmp_path), take_slot(tmp_path)
    assert (one.name, two.name) == ("run-1", "run-2")
    one.release()
    again = take_slot(tmp_path)
    assert again.name == "run-1"
    again.release()
    two.release()


def test_a_named_slot_is_one_runners_only(tmp_path: Path) -> None:
    taken = take_slot(tmp_path, "main")
    with pytest.raises(SlotTaken, match="stop it first"):
        take_slot(tmp_path, "main")
    taken.release()
