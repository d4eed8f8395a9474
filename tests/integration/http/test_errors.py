"""Every refusal has its status, its code, and the contract's form."""

import re

import attrs
import pytest

from tests.support.cast import event
from tests.support.rest import open_rest
from townwatch.contracts.codec import camel
from townwatch.supervision import Rate
from townwatch.transports.http.app import OPERATIONS
from townwatch.transports.http.deps import Rates


def code(answer):
    body = answer.json()
    assert set(body) == {"error"}
    assert {"code", "message"} <= set(body["error"]) <= {"code", "message", "details"}
    assert "\n" not in body["error"]["message"]
    return answer.status_code, body["error"]["code"]


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/runner", "/api/villages/a/b"])
async def test_an_address_that_is_none(rest, path):
    assert code(await rest.get(path)) == (404, "E_NOT_FOUND")


async def test_a_method_that_is_none(rest):
    answer = await rest.ask("PATCH", "/api/villages")
    assert code(answer) == (405, "E_METHOD")
    assert answer.headers["allow"] == "GET, POST"
    options = await rest.ask("OPTIONS", "/api/villages")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, OPTIONS, POST")


async def test_an_escaped_slash_stays_within_its_segment(rest):
    session = await rest.get("/api/runner/sessions/a%2Fb")
    assert code(session) == (404, "E_NOT_FOUND")
    assert "session 'a/b'" in session.json()["error"]["message"]
    assert code(await rest.get("/api/villages%2Fopen")) == (404, "E_NOT_FOUND")
    assert (await rest.get("/api/%76illages/op%65n")).status_code == 200  # every spelling of a letter is the letter


async def test_an_empty_segment_is_no_value(rest):
    answer = await rest.get("/api/runner/sessions//events")
    assert answer.json()["error"]["message"] == "there is no such address; /api/docs lists what there is"
    assert (await rest.get("/api/villages/")).status_code == 200  # a slash at the end changes nothing


async def test_an_unexpected_method_is_refused_before_a_token_is_looked_at(rest):
    assert code(await rest.ask("BREW", "/api/villages/open", who=None)) == (405, "E_METHOD")


async def test_head_is_get_without_its_body(rest):
    answer = await rest.ask("HEAD", "/healthz")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "15")


async def test_a_body_that_is_none(rest):
    bad = await rest.post("/api/villages", b"{nope", "admin")
    assert code(bad) == (400, "E_BAD_PAYLOAD")
    missing = await rest.post("/api/villages", {"villageId": "v"}, "admin")
    assert missing.json()["error"] == {
        "code": "E_BAD_PAYLOAD", "message": "name: is required", "details": {"field": "name"},
    }  # fmt: skip
    text = await rest.post("/api/villages", b"x", "admin", headers={"content-type": "text/plain"})
    assert code(text) == (415, "E_MEDIA_TYPE")
    huge = await rest.post("/api/villages", b" " * 1_000_001, "admin")
    assert code(huge) == (413, "E_TOO_LARGE")


async def test_what_contradicts_what_stands(rest):
    assert code(await rest.post("/api/villages", {"villageId": "open", "name": "Mine"}, "admin")) == (409, "E_CONFLICT")
    last = await rest.ask("DELETE", "/api/villages/closed/members/user_owner_1")
    assert code(last) == (409, "E_CONFLICT")


async def test_a_fault_of_ours_says_nothing_about_itself(rest, monkeypatch):
    async def fail(*_args, **_kwargs):
        raise RuntimeError("secret inner workings")

    monkeypatch.setattr(rest.database, "read", fail)
    answer = await rest.get("/api/villages", None)
    assert code(answer) == (500, "E_INTERNAL")
    assert "secret" not in answer.text


async def test_too_much_at_once(tmp_path):
    slow = Rate(per_second=0.01, burst=3)
    async with open_rest(tmp_path, rates=Rates(reads=slow, writes=slow, sign_ins=slow)) as rest:
        for _ in range(3):
            assert (await rest.get("/api/me")).status_code == 200
        answer = await rest.get("/api/me")
        assert code(answer) == (429, "E_RATE_LIMIT")
        assert 1 <= int(answer.headers["retry-after"]) <= 100
        assert (await rest.get("/api/me", "operator")).status_code == 200  # another's bucket is their own
        guesses = [await rest.post("/api/auth/exchange", {"code": f"guess{n}"}, None) for n in range(4)]
        assert [guess.status_code for guess in guesses] == [401, 401, 401, 429]


async def test_a_service_that_is_not_ready_says_why_and_is_alive(tmp_path):
    reasons = ["the journal cannot write: no space left on device"]
    async with open_rest(tmp_path, reasons_not_ready=lambda: reasons) as rest:
        answer = await rest.get("/readyz", None)
        assert code(answer) == (503, "E_NOT_READY")
        assert answer.json()["error"]["details"]["reasons"] == reasons
        assert (await rest.get("/healthz", None)).json() == {"status": "ok"}
        reasons.clear()
        assert (await rest.get("/readyz", None)).json() == {"ready": True, "warnings": []}


async def test_metrics_may_be_closed_to_the_world(tmp_path):
    async with open_rest(tmp_path, metrics_open=False) as rest:
        assert code(await rest.get("/metrics", None)) == (401, "E_UNAUTH")
        assert code(await rest.get("/metrics", "owner")) == (403, "E_FORBIDDEN")
        answer = await rest.get("/metrics", "admin")
        assert "townwatch_tests_total 1.0" in answer.text
        assert answer.headers["content-type"].startswith("text/plain; version=")


async def test_answers_are_kept_by_nobody_and_taken_for_nothing_else(rest):
    headers = (await rest.get("/api/me")).headers
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


WRONG_VALUES = (None, True, 5, 1.5, "", "x" * 70_000, [], [None], {}, {"a": []}, "\x00", -1, 10**30, ["a", 1])
NOT_OF_JSON = re.compile(r"\b(str|int|bool|dict|list|None|NoneType|Expected|float|bytes|attrs|msgspec|Struct)\b")


async def test_errors_speak_of_json_and_not_of_python(tmp_path):
    """Each body operation, with each of its fields wrong in many ways, and each query parameter."""
    plenty = Rate(per_second=100_000, burst=100_000)
    told: set[str] = set()
    async with open_rest(tmp_path, rates=Rates(reads=plenty, writes=plenty, sign_ins=plenty)) as world:
        await world.session(event("SESSION_STARTED", 1, providerId="codex", providerVersion="1", workspacePath="/w"))
        values = {"sessionId": "s1", "villageId": "closed", "runnerId": "r1"}
        for operation in OPERATIONS:
            if operation.body is None:
                continue
            path = re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], "none"), operation.path)
            names = [camel(field.name) for field in attrs.fields(operation.body)]
            bodies = [b"{", b"[]", b'"x"', b"5", b"null", *({name: bad} for name in names for bad in WRONG_VALUES)]
            for body in bodies:
                answer = await world.ask(operation.method, path, body, "admin")
                assert answer.status_code < 500, (operation.name, body, answer.text)
                if answer.status_code == 400:
                    code(answer)
                    told.add(f"{operation.name}: {answer.json()['error']['message']}")
        for query in ("limit=x", "limit=0", "live=perhaps", "outcome=maybe", "since=tomorrow"):
            answer = await world.get(f"/api/runner/sessions?{query}")
            assert answer.status_code == 400
            told.add(answer.json()["error"]["message"])
    assert len(told) > 300
    assert [one for one in told if NOT_OF_JSON.search(one)] == []
