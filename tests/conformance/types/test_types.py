"""JSON Schema and TypeScript types of the wires: served, printed, true of what is said; tsc takes programs by them."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import trio

from tests.integration.runner.conftest import Far, far as far
from tests.support import golden
from tests.support.people import rest
from tests.support.service import JS, node, open_town
from townwatch.transports.http.app import descriptions

HERE = Path(__file__).parent
DESCRIBED = {path: content for path, (content, _) in descriptions("1.2.3").items()}
SCHEMAS: dict[str, Any] = json.loads(DESCRIBED["/api/schemas.json"])
EVENTS = [row.event() for row in golden.TABLE]
SAID = [(event, payload) for row in golden.TABLE for event, _rooms, payload in row.becomes]


def fits(name: str, value: Any) -> bool:
    return jsonschema_rs.is_valid({"$ref": f"#/$defs/{name}", "$defs": SCHEMAS["$defs"]}, value)


def test_the_golden_table_fits_the_schemas() -> None:
    jsonschema_rs.meta.validate(SCHEMAS)
    for event in EVENTS:
        assert fits("RunnerEvent", event), event
        assert fits("RunnerToServiceFrame", {"type": "events", "events": [event]})
    for event, payload in SAID:
        seq = {"seq": 1} if event in golden.SEQ_EVENTS else {}
        assert fits("ServiceToViewerEvents", {event: {**payload, **seq}}), (event, payload)
    assert not fits("RunnerEvent", {**EVENTS[0], "seq": "one"})
    assert not fits("RunnerToServiceFrame", {"type": "welcome"})
    assert not fits("ViewerToServiceEvents", {"join_village": {}})


async def test_they_are_served_and_printed(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town) as http:
        served = {path: await http.get(path) for path in DESCRIBED}
    assert {one.status_code for one in served.values()} == {200}
    assert served["/api/types.d.ts"].headers["content-type"].startswith("application/typescript")
    assert served["/api/schemas.json"].json()["$defs"] == SCHEMAS["$defs"]
    printed = await trio.run_process(
        [sys.executable, "-P", "-m", "townwatch", "schema", "--typescript"], capture_stdout=True
    )
    assert printed.stdout.decode().strip() == served["/api/types.d.ts"].text.strip()


def typescript(directory: Path) -> None:
    """A place where tsc finds the packages of tests/js and the published types."""
    if not (JS / "node_modules" / "typescript").is_dir():
        pytest.skip("the npm packages of tests/js are missing: make test installs them")
    (directory / "node_modules").symlink_to(JS / "node_modules")
    (directory / "package.json").write_text('{"type": "module"}')
    (directory / "types.d.ts").write_bytes(DESCRIBED["/api/types.d.ts"])


async def run(directory: Path, script: str, *words: str) -> str:
    """What a script of the npm packages prints; it must succeed."""
    command = [node(), str(JS / "node_modules" / script), *words] if "/" in script else [node(), script, *words]
    work = partial(subprocess.run, command, cwd=directory, capture_output=True, text=True, timeout=120)
    done = await trio.to_thread.run_sync(work)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


TSC = ("--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom")


@pytest.mark.node
async def test_tsc_takes_the_types_a_program_and_every_golden_frame(tmp_path: Path) -> None:
    typescript(tmp_path)
    lines = ["import type { RunnerEvent, ServerToClientEvents } from './types.js';"]
    for number, event in enumerate(EVENTS):
        lines.append(f"export const event{number}: RunnerEvent = {json.dumps(event)};")
    for number, (event, payload) in enumerate(SAID):
        kind = f"Parameters<ServerToClientEvents[{json.dumps(event)}]>[0]"
        seq = {"seq": 1} if event in golden.SEQ_EVENTS else {}
        lines.append(f"export const said{number}: {kind} = {json.dumps({**payload, **seq})};")
    (tmp_path / "frames.ts").write_text("\n".join(lines))
    (tmp_path / "viewer.ts").write_text((HERE / "viewer.ts").read_text().replace('"./types"', '"./types.js"'))
    await run(tmp_path, "typescript/bin/tsc", "--noEmit", *TSC, "types.d.ts", "frames.ts", "viewer.ts")


@pytest.mark.node
async def test_a_generated_typescript_client_does_the_main_job(far: Far, tmp_path: Path) -> None:
    place = tmp_path / "client"
    place.mkdir()
    typescript(place)
    (place / "openapi.json").write_bytes(DESCRIBED["/api/openapi.json"])
    await run(place, "openapi-typescript/bin/cli.js", "openapi.json", "--output", "api.d.ts")
    (place / "job.ts").write_text((HERE / "job.ts").read_text().replace('"./api"', '"./api.js"'))
    await run(place, "typescript/bin/tsc", *TSC, "job.ts")
    assert (await run(place, "job.js", far.town.url, far.town.token, str(far.directory))).strip() == "COMPLETED"
