"""Logs that real CLIs sent by OTLP, in JSON and protobuf (tests/fixtures/field), and bytes that are neither."""

import base64
import json
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from townwatch.runner.agents import events as a
from townwatch.runner.agents.gemini import telemetry
from townwatch.runner.agents.otlp import logs, protobuf

FIELD = Path(__file__).parents[2] / "fixtures" / "field"
JSON, PROTOBUF = "application/json", "application/x-protobuf"


def recorded(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for line in (FIELD / f"otlp-{name}.jsonl").read_text(encoding="utf-8").splitlines():
        frame = json.loads(line)
        body = base64.b64decode(frame["base64"]) if "base64" in frame else json.dumps(frame["body"]).encode()
        found += logs.records(frame["contentType"], body)
    return found


def used(records: list[dict[str, Any]]) -> list[a.Tokens]:
    return [one for one in map(logs.tokens, records) if one is not None]


CLAUDE = a.Tokens(input_tokens=1200, output_tokens=40, cache_read_tokens=200, cost_usd=0.00564, model="claude-opus-5-5")
CODEX = a.Tokens(input_tokens=1200, output_tokens=40, cache_read_tokens=200, model="gpt-5.5")
GEMINI = a.Tokens(input_tokens=1200, output_tokens=40, cache_read_tokens=200, model="scripted")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("claude-code-2.1.332-json", [CLAUDE] * 2),
        ("claude-code-2.1.332-protobuf", [CLAUDE] * 2),
        ("codex-0.171.0-json", [CODEX] * 2),
        ("codex-0.171.0-protobuf", [CODEX] * 2),
        ("gemini-0.61.0-json", [GEMINI] * 3),
    ],
)
def test_what_the_clis_really_send_is_counted_once_a_request(name: str, wanted: list[a.Tokens]) -> None:
    assert used(recorded(name)) == wanted


def test_events_of_the_genai_conventions_count_where_a_program_has_none_of_its_own() -> None:
    gemini = recorded("gemini-0.61.0-json")
    conventional = [one for one in gemini if str(one["event.name"]).startswith("gen_ai.")]
    assert logs.UsageOfLogs().of(gemini) == [GEMINI] * 3
    other, usage = logs.UsageOfLogs(), logs.UsageOfLogs()
    assert [one.input_tokens for one in other.of(conventional)] == [1200] * 3
    usage.of(gemini[:3])
    assert usage.of(conventional) == []


@pytest.mark.parametrize(
    ("cli", "event"), [("claude-code-2.1.332", "tool_result"), ("codex-0.171.0", "codex.tool_result")]
)
def test_both_forms_say_the_same(cli: str, event: str) -> None:
    shared = {"event.name", "tool_name", "success"}
    said = [
        [{key: one[key] for key in shared} for one in recorded(f"{cli}-{form}") if one.get("event.name") == event]
        for form in ("json", "protobuf")
    ]
    assert said[0] == said[1]
    assert len(said[0]) == 1


# --- protobuf by hand -------------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def export(*attributes: bytes, beside: bytes = b"") -> bytes:
    record = b"".join(field(6, one) for one in attributes) + beside
    return field(1, field(2, field(2, record)))


def attribute(key: str, value: bytes) -> bytes:
    return field(1, key.encode()) + field(2, value)


def test_every_kind_of_value_is_read() -> None:
    pairs = {
        "text": (field(1, "ä".encode()), "ä"),
        "yes": (b"\x10\x01", True),
        "number": (b"\x18" + varint(7), 7),
        "minus": (b"\x18" + varint((1 << 64) - 5), -5),
        "double": (b"\x21" + struct.pack("<d", 0.5), 0.5),
        "list": (field(5, field(1, b"\x18\x01") + field(1, field(1, b"x"))), [1, "x"]),
        "map": (field(6, field(1, attribute("k", b"\x18\x02"))), {"k": 2}),
        "bytes": (field(7, b"\x00"), None),
        "none": (b"", None),
    }
    body = export(*(attribute(name, value) for name, (value, _) in pairs.items()), beside=field(12, b"named"))
    body += field(9, b"of a later version") + b"\x5d\x00\x00\x00\x00"  # passed over
    wanted = {name: read for name, (_, read) in pairs.items()}
    assert list(protobuf.records(body)) == [{**wanted, "event.name": "named"}]


def test_values_in_values_have_an_end() -> None:
    value = b"\x18\x01"
    for _ in range(500):
        value = field(5, field(1, value))
    (found,) = protobuf.records(export(attribute("deep", value)))
    assert "deep" in found
    nested = '{"arrayValue":{"values":[' * 100 + '{"intValue":1}' + "]}}" * 100
    record = f'{{"attributes":[{{"key":"deep","value":{nested}}}]}}'
    body = f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}'.encode()
    assert "deep" in logs.records(JSON, body)[0]


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x05ab", b"\x80" * 20, b"\x0b", b"\x02\x00", b"\x09\x00"])
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(logs.NotOtlp):
        logs.records(PROTOBUF, body)


@given(st.binary(max_size=300), st.sampled_from([JSON, PROTOBUF, "", "text/plain; charset=x"]))
def test_no_bytes_are_a_crash(body: bytes, kind: str) -> None:
    try:
        found = logs.records(kind, body)
    except logs.NotOtlp:
        return
    assert all(logs.tokens(one) is None for one in found)


@pytest.mark.parametrize("value", [None, "x", -5, "nan", "inf", [], {}, "1e999", True])
def test_odd_figures_are_none(value: Any) -> None:
    found = logs.tokens({"event.name": "gemini_cli.api_response", "input_token_count": value, "model": 7})
    assert found is not None
    assert (found.input_tokens, found.model) == (1 if value is True else 0, None)


# --- whose telemetry --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "command", "file"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://mine"}, [], None),
        ({"GEMINI_TELEMETRY_ENABLED": "false"}, [], None),
        ({}, ["--telemetry-target=gcp"], None),
        ({}, [], "home/.gemini/settings.json"),
        ({}, [], "work/.gemini/settings.json"),
        ({}, [], "work/.env"),
        ({}, [], ".gemini/.env"),
        ({}, [], "system.json"),
    ],
)
def test_geminis_telemetry_is_the_users_where_anything_of_theirs_names_it(
    tmp_path: Path, env: dict[str, str], command: list[str], file: str | None
) -> None:
    places = {"HOME": str(tmp_path / "home"), telemetry.SYSTEM: str(tmp_path / "system.json")}
    work = tmp_path / "work"
    assert not telemetry.is_the_users(places, work, ["gemini"])
    if file is not None:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text('{"telemetry": {"enabled": false}}')
    assert telemetry.is_the_users({**places, **env}, work, ["gemini", *command])


async def test_an_export_that_is_costly_to_read_is_refused_and_a_long_one_is_read_beside_the_loop() -> None:
    kind = "application/x-protobuf"
    with pytest.raises(logs.NotOtlp):
        await logs.read(kind, b"\x08\x01" * (protobuf.MOST_FIELDS + 1))
    with pytest.raises(logs.NotOtlp):
        await logs.read(kind, bytes(logs.MOST_BYTES + 1))
    record = attribute("event.name", field(1, b"api_request"))
    threads = set[str]()
    read = logs.records

    def noted(content_type: str, body: bytes) -> list[dict[str, Any]]:
        threads.add(threading.current_thread().name)
        return read(content_type, body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "records", noted)
        for count in (1, 2000):
            found = await logs.read(kind, export(record, beside=field(5, bytes(100))) * count)
            assert [one["event.name"] for one in found] == ["api_request"] * count
    assert len(threads) == 2
