"""Enrolment of a runner, which gives it a token, and the change to a new token."""

import platform
from pathlib import Path

import attrs
import trio

from townwatch.runner import identity, policies
from townwatch.runner.identity import Identity, NotEnrolled
from townwatch.runner.link.api_client import AskingFailed, Service, post
from townwatch.runner.link.tls import Tls


async def join(
    state_dir: Path, service: Service, code: str, *, name: str | None = None, tls: Tls | None = None, anew: bool = False
) -> Identity:
    """Become a runner of `service` for a one-time code; runner.json says so from now on. Raises `AskingFailed`.

    `anew`: whether the runner that this directory belongs to may be forgotten.
    """
    tls = tls or Tls()
    try:
        known = await trio.to_thread.run_sync(identity.load, state_dir)
    except NotEnrolled:
        known = None
    if known is not None and not anew:
        raise AskingFailed(identity.belongs(state_dir, known))
    called = name or platform.node() or "runner"
    body = {"code": code, "name": called, "hostname": platform.node() or called}
    answer = await post(service, "/api/runners/join", body, tls=tls)
    joined = Identity(
        runner_id=str(answer["runnerId"]),
        token=str(answer["token"]),
        url=service.runner_url,
        village=str(answer.get("villageId") or "demo"),
        name=called,
        tls=tls,
    )
    await trio.to_thread.run_sync(policies.forget, state_dir)
    await trio.to_thread.run_sync(identity.save, state_dir, joined)
    return joined


async def rotate(state_dir: Path, known: Identity) -> Identity:
    """A new token for this runner; the old one ends within minutes. Raises `AskingFailed`.

    Runners at work go on: they read runner.json again when their token is refused.
    """
    service = Service.at(known.url, plain=True)
    answer = await post(service, f"/api/runners/{known.runner_id}/token", {}, token=known.token, tls=known.tls)
    renewed = attrs.evolve(known, token=str(answer["token"]))
    await trio.to_thread.run_sync(identity.save, state_dir, renewed)
    return renewed
