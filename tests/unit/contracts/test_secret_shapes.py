"""What is known to be secret by its shape is masked wherever it stands; everything else stays byte for byte."""

import json

import msgspec
import pytest
from hypothesis import given, strategies as st

from townwatch.contracts.secrets.shapes import MASK, masked_event, masked_text

SECRETS = [
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "x" * 50,
    "glpat-" + "y" * 20,
    "sk-ant-" + "z" * 30,
    "xoxb-1234567890-abc",
    "AKIA" + "Q" * 16,
    "AIza" + "w" * 35,
    "tw_" + "t" * 24,
    "twr_" + "t" * 24,
    "twc_" + "t" * 24,
    "twe_" + "t" * 24,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_masked_wherever_it_stands(secret: str) -> None:
    event = {
        "type": "PROVIDER_EVENT_FORWARDED",
        "sessionId": "s1",
        "seq": 3,
        "providerEvent": {"type": "tool", "deep": [{"text": f"x {secret} y", secret: [secret]}], "n": 1.5, "z": None},
    }
    masked = masked_event(json.dumps(event, ensure_ascii=False).encode())
    assert secret.encode() not in masked
    found = json.loads(masked)
    assert found["providerEvent"] == {
        "type": "tool", "deep": [{"text": f"x {MASK} y", MASK: [MASK]}], "n": 1.5, "z": None,
    }  # fmt: skip
    assert (found["seq"], found["sessionId"]) == (3, "s1")
    assert masked_text(secret) == MASK


def test_what_others_refer_to_is_never_changed() -> None:
    name = "tw_" + "t" * 24
    event = {"type": "X", "sessionId": name, "agentId": name, "approval": {"approvalId": name}}
    assert json.loads(masked_event(json.dumps(event).encode())) == event


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=30), max_size=4))
def test_what_holds_no_secret_is_the_very_same_object(fields: dict[str, str]) -> None:
    body = json.dumps(fields).encode()
    assert masked_event(body) is body


def test_words_that_only_look_like_the_beginning_of_one_stay() -> None:
    body = b'{"data": "task-runner, disk-usage, tw_ and twr_short, eyJ, a PRIVATE KEY is not here"}'
    assert masked_event(body) is body


@pytest.mark.parametrize("depth", [1, 100, 350])
@pytest.mark.parametrize("name", ["a", "type"])
def test_what_the_decoder_takes_is_masked_however_deep_it_is(depth: int, name: str) -> None:
    deep = f'{{"{name}": [' * depth + f'"{SECRETS[0]}"' + "]}" * depth
    body = f'{{"type": "X", "data": {deep}}}'.encode()
    try:
        msgspec.json.decode(body)
    except RecursionError:
        pytest.skip("the decoder takes nothing so deep")
    assert SECRETS[0].encode() not in masked_event(body)


def test_a_letter_that_is_written_as_an_escape_hides_nothing() -> None:
    body = json.dumps({"data": SECRETS[0]}).replace("ghp", "\\u0067hp").encode()
    assert json.loads(masked_event(body)) == {"data": MASK}
