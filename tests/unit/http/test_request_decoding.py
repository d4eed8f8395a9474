"""What comes in is decoded strictly, and what is wrong is named."""

import pytest

from townwatch.contracts import rest
from townwatch.contracts.codec import ContractError
from townwatch.transports.http.app import OPERATIONS
from townwatch.transports.http.problems import ProblemError
from townwatch.transports.http.request_decoding import body_of, query_of

OF = {operation.name: operation for operation in OPERATIONS}
JSON = "application/json"


def body(name, content, content_type=JSON, encoding=None):
    return body_of(OF[name], content, content_type, encoding)


SESSION_FILTERS = "villageId, live, repoId, agentId, runnerId, startedBy, outcome, since, until"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a JSON body is required"),
        (b"{", "this is not valid JSON: it ends too early"),
        (b"[]", "must be an object, not an array"),
        (b"{}", "data: is required"),
        (b'{"data": 5}', "data: must be a string, not an integer"),
        (b'{"data": "x", "mode": "loud"}', "mode: must be one of raw, line, not 'loud'"),
        (b'{"data": "x"} more', "this is not valid JSON"),
        (b'{"data": "\\ud800"}', ""),
        (b'{"data": NaN}', "this is not valid JSON"),
        (b"[" * 5000, ""),
    ],
)
def test_a_bad_body_names_the_field(content, message):
    with pytest.raises(ContractError) as caught:
        body("type_input", content)
    assert str(caught.value).startswith(message)
    assert caught.value.code == "E_BAD_PAYLOAD"


def test_a_body_that_is_too_long():
    with pytest.raises(ContractError) as caught:
        body("type_input", b'{"data": "' + b"x" * (1 << 20) + b'"}')
    assert caught.value.code == "E_TOO_LARGE"


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/xml", "multipart/form-data"])
def test_only_json_is_taken(content_type):
    with pytest.raises(ProblemError) as caught:
        body("type_input", b'{"data": "x"}', content_type)
    assert caught.value.status == 415


def test_compressed_bodies_are_not_taken():
    with pytest.raises(ProblemError) as caught:
        body("type_input", b"\x1f\x8b", JSON, "gzip")
    assert caught.value.status == 415


def test_parameters_of_json_and_unknown_fields_do_not_matter():
    found = body("type_input", b'{"data": "x", "more": {}}', "Application/JSON; charset=utf-8")
    assert found == rest.TypedInput(data="x")


def test_one_point_zero_is_one():
    assert body("resize_session", b'{"cols": 80.0, "rows": 24}') == rest.TerminalSize(cols=80, rows=24)
    with pytest.raises(ContractError, match="cols: must be an integer, not a number"):
        body("resize_session", b'{"cols": 80.5, "rows": 24}')


def test_an_optional_body_may_be_left_out():
    assert body("stop_session", b"", None) == rest.StopSession(graceful=True)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "limit: must be at least 1"),
        ("limit=201", "limit: must be at most 200"),
        ("limit=many", "limit: must be an integer"),
        ("limit=1&limit=2", "limit: is there more than once; give it once"),
        ("limits=1", f"limits: is not a parameter of this address; known are {SESSION_FILTERS}, cursor, limit"),
        ("live=perhaps", "live: must be true or false"),
        ("villageId=", "villageId: must have at least 1 character"),
        ("villageId=%ff", "the query cannot be read: it must be name=value&… in UTF-8, percent-encoded"),
        (
            "&".join(f"a{i}=1" for i in range(99)),
            "the query cannot be read: it must be name=value&… in UTF-8, percent-encoded",
        ),
    ],
)
def test_a_bad_query_names_the_parameter(query, message):
    with pytest.raises(ContractError) as caught:
        query_of(OF["list_sessions"], query)
    assert str(caught.value) == message


def test_the_text_null_is_no_null():
    with pytest.raises(ContractError, match=r"^cursor: must not be null"):
        query_of(OF["list_events"], "cursor=null")
    assert query_of(OF["list_sessions"], "villageId=null") == rest.SessionQuery(village_id="null")


def test_a_good_query():
    found = query_of(OF["list_sessions"], "villageId=d%C3%A9mo&live=true&limit=5")
    assert found == rest.SessionQuery(village_id="démo", live=True, limit=5)
