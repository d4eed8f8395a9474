"""Calls on the page: this browser by web push, other channels, quiet hours, and the page that a link opens."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.browser.conftest import DESKTOP, PHONE, Town, Watcher, free_port
from tests.browser.fitting import NOTED_BY_AXE, misfits
from tests.browser.test_page import expect
from tests.support.receiver import Heard, Receiver, open_receiver

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
PUSH = {"title": "Ada asks to run a command", "text": "npm test\nin /src", "village": "demo", "tag": "t", "at": 1}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A service that may call this machine, and knows its own address."""
    folder, port = tmp_path_factory.mktemp("town"), free_port()
    config = folder / "townwatch.toml"
    config.write_text(
        f'[server]\npublic_url = "http://127.0.0.1:{port}"\n[webhooks]\nprivate_networks = ["127.0.0.0/8"]\n'
    )
    running = Town(folder, port)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with open_receiver() as found:
        yield found


def api(page: Any, town: Town) -> httpx.Client:
    token = page.evaluate("localStorage.getItem('townwatch.token')")
    return httpx.Client(base_url=town.url, headers={"authorization": f"Bearer {token}"}, timeout=20)


def told(heard: list[Heard], topic: str, part: str) -> list[dict[str, Any]]:
    """Calls by ntfy to a topic that say this."""
    events = [one.event for one in heard if one.path == "/"]
    return [one for one in events if one["topic"] == topic and part in f"{one['title']} {one['message']}"]


def test_a_channel_is_added_tried_changed_and_removed(
    desk: Callable[[str], Any], receiver: Receiver, town: Town
) -> None:
    page = desk("#/calls")
    expect(page.get_by_test_id("calls-page")).to_be_visible()
    form = page.get_by_test_id("new-channel")
    form.get_by_label("Address of the topic").fill(f"{receiver.url}/page")
    form.get_by_role("button", name="Add").click()
    channel = page.get_by_test_id("channel").filter(has_text="/page")
    expect(channel).to_contain_text("Calls about 4 of 6 kinds")
    channel.get_by_test_id("test-channel").click()
    receiver.wait(lambda all_: bool(told(all_, "page", "Townwatch calls")))
    expect(page.get_by_test_id("call-log")).to_contain_text("delivered")

    channel.get_by_test_id("channel-kinds").click()
    channel.get_by_label("a session ended").first.check()
    expect(channel).to_contain_text("Calls about 5 of 6 kinds")
    channel.get_by_test_id("own-kinds").check()
    expect(channel.get_by_role("group", name="In Demo village, when")).to_be_visible()
    channel.get_by_label("a session ended").nth(1).uncheck()
    expect(channel).to_contain_text("Calls about 4 of 6 kinds")
    with api(page, town) as http:
        (kept,) = http.get("/api/me/channels").json()["items"]
        assert "session.ended" in kept["kinds"] and "session.ended" not in kept["villages"]["demo"]

    times = page.get_by_test_id("call-times")
    times.get_by_test_id("quiet").check()
    times.get_by_label("From").fill("23:15")
    times.get_by_role("button", name="Save").click()
    expect(times.get_by_role("status")).to_have_text("Saved.")
    with api(page, town) as http:
        found = http.get("/api/me/call-settings").json()
        assert found["quiet"] == {"begins": 23 * 60 + 15, "ends": 7 * 60} and not found["quietEscalations"]
        http.put("/api/me/call-settings", json={})
    escalation = page.get_by_test_id("escalation")
    expect(escalation).to_contain_text("10 minutes")
    escalation.get_by_label("Minutes (0: never)").fill("5")
    escalation.get_by_label("Minutes (0: never)").blur()
    expect(escalation).to_contain_text("5 minutes")
    escalation.get_by_label("Instead, first").select_option(index=1)
    step = escalation.get_by_label("Minutes until")
    expect(step).to_have_value("5")
    step.fill("2")
    step.blur()
    expect(escalation).to_contain_text("after 2 min")

    channel.get_by_test_id("remove-channel").click()
    channel.get_by_role("button", name="Really remove?").click()
    expect(page.get_by_test_id("channel")).to_have_count(0)


def test_this_browser_is_called_and_may_be_left(
    watcher: Watcher, signed_in: Any, town: Town, receiver: Receiver, own_session: Callable[[str, str], None]
) -> None:
    """The service worker is real. There is no push service without the network: a subscription stands in for it."""
    page = watcher.open(DESKTOP, signed_in, permissions=["notifications"])
    subscription = json.dumps({"endpoint": f"{receiver.url}/push", "keys": browser_keys()})
    page.add_init_script(
        "PushManager.prototype.subscribe = async (options) => {"
        f" window.askedWith = options; return {{ toJSON: () => ({subscription}) }}; }}"
    )
    page.goto(f"{town.url}#/calls")
    page.get_by_test_id("push-here").click()
    expect(page.get_by_test_id("channel").filter(has_text="this browser")).to_be_visible()
    with api(page, town) as http:
        key = http.get("/api/me/call-settings").json()["pushKey"]
        assert page.evaluate("window.askedWith.userVisibleOnly && window.askedWith.applicationServerKey.length") == 65
        assert len(key) == 87
    page.get_by_test_id("test-channel").click()
    receiver.wait(lambda all_: any(one.path == "/push" for one in all_))
    assert page.evaluate("navigator.serviceWorker.getRegistration().then((one) => one.active.scriptURL)").endswith(
        "/service-worker.js"
    )

    registration, cdp = worker_of(page, town)
    for pushed, buttons in (
        ({**PUSH, "path": "answer.html#twl_x", "link": "twl_x", "acts": True}, ["allow", "deny"]),
        ({**PUSH, "tag": "u", "path": "#/approvals"}, []),
        (None, []),
    ):
        data = "no json" if pushed is None else json.dumps(pushed)
        cdp.send(
            "ServiceWorker.deliverPushMessage",
            {"origin": town.url.rstrip("/"), "registrationId": registration, "data": data},
        )
        shown = notification(
            page, "Townwatch" if pushed is None else pushed["title"], None if pushed is None else pushed["tag"]
        )
        assert [one["action"] for one in shown["actions"]] == buttons
        assert pushed is None or shown["body"] == "npm test\nin /src\ndemo"

    link = asked_by_ntfy(page, town, receiver, own_session, "pushed")
    (worker,) = page.context.service_workers
    for action, said in (
        ("allow", "Allowed"),
        ("back", "Taken back"),
        ("deny", "Denied"),
        ("allow", "It was not answered"),
    ):
        data = {"link": link, "title": "pushed", "tag": "p"}
        worker.evaluate("([data, action]) => answered({ data }, action)", [data, action])
        notification(page, said, "p")

    page.get_by_test_id("push-here").click()
    expect(page.get_by_test_id("channel").filter(has_text="this browser")).to_have_count(0)
    errors = page.context.new_cdp_session(page).send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert [one["errorId"] for one in errors if one["errorId"] != "in-incognito"] == []


def asked_by_ntfy(
    page: Any, town: Town, receiver: Receiver, own_session: Callable[[str, str], None], topic: str
) -> str:
    """Have a session ask for something of low risk; return the link of the call to this topic."""
    with api(page, town) as http:
        made = http.post("/api/me/channels", json={"form": "ntfy", "address": f"{receiver.url}/{topic}"})
        assert made.status_code == 201, made.text
        own_session(topic, f"townwatch ask --category shell --risk low 'make {topic}'; sleep 60")
        receiver.wait(lambda all_: bool(told(all_, topic, topic)))
    return told(receiver.heard, topic, topic)[0]["click"].partition("#")[2]


def browser_keys() -> dict[str, str]:
    from tests.support.browser_push import PushBrowser

    found = PushBrowser().subscription("")
    return {"p256dh": found["p256dh"], "auth": found["auth"]}


def worker_of(page: Any, town: Town) -> tuple[str, Any]:
    cdp = page.context.new_cdp_session(page)
    seen: list[dict[str, Any]] = []
    cdp.on("ServiceWorker.workerRegistrationUpdated", lambda event: seen.extend(event["registrations"]))
    cdp.send("ServiceWorker.enable")
    deadline = time.monotonic() + 20
    while not seen:
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)
    return seen[-1]["registrationId"], cdp


def notification(page: Any, title: str, tag: str | None) -> dict[str, Any]:
    """What the service worker shows, when it does."""
    found = """async ([title, tag]) => {
        for (;;) {
            const all = await (await navigator.serviceWorker.ready).getNotifications();
            const one = all.find((each) => each.title === title && (tag === null || each.tag === tag));
            if (one) return { body: one.body, actions: one.actions.map(({ action }) => ({ action })) };
            await new Promise((done) => setTimeout(done, 50));
        }
    }"""
    return page.evaluate(found, [title, tag])


def test_a_link_in_a_call_opens_one_approval_and_a_tap_decides(
    desk: Callable[[str], Any],
    watcher: Watcher,
    town: Town,
    receiver: Receiver,
    own_session: Callable[[str, str], None],
) -> None:
    watcher.expected.append(NOTED_BY_AXE)
    page = desk("")
    topic = "linked"
    link = asked_by_ntfy(page, town, receiver, own_session, topic)
    with api(page, town) as http:
        stranger = watcher.open(PHONE)
        stranger.goto(f"{town.url}answer.html#{link}")
        card = stranger.get_by_test_id("answer")
        expect(card).to_contain_text(f"make {topic}")
        assert stranger.evaluate("localStorage.getItem('townwatch.token')") is None
        assert misfits(stranger) == []
        waiting = [one["summary"] for one in http.get("/api/approvals").json()["items"]]
        assert f"make {topic}" in waiting, "to look has decided nothing"
        card.get_by_test_id("allow").click()
        expect(card.get_by_test_id("outcome")).to_contain_text("Allowed by Owner")
        card.get_by_test_id("take-back").click()
        card.get_by_test_id("deny").click()
        expect(card.get_by_test_id("outcome")).to_contain_text("Denied by Owner")
        stranger.reload()
        expect(card.get_by_test_id("outcome")).to_contain_text("Denied by Owner")
        watcher.expected.append("401")
        stranger.goto(f"{town.url}answer.html#twl_nothing")
        stranger.reload()
        expect(stranger.get_by_test_id("over")).to_contain_text("This link is over")
