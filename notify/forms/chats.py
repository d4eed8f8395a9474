"""Chats that take a message at an address: ntfy, Slack and Teams. What agents say is text there, never markup."""

import json
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import attrs

from townwatch.contracts.codec import ContractError, Decoder
from townwatch.notify.deliver import AttemptOutcome, Courier
from townwatch.notify.forms.letter import Letter

JSON = {"content-type": "application/json"}
OPEN, ANSWER = "Open in Townwatch", "Look and answer"


@attrs.frozen(kw_only=True)
class ChatAddress:
    """`url`: of ntfy the topic's, of the others the incoming webhook's. `token`: of ntfy, where the topic has one."""

    url: str = attrs.field(repr=False)
    token: str = attrs.field(default="", repr=False)


_addresses = Decoder(ChatAddress)


def ntfy_topic(url: str) -> tuple[str, str]:
    """Return the server's address and the topic. Raises ValueError."""
    parts = urlsplit(url)
    folder, _, topic = parts.path.rstrip("/").rpartition("/")
    if not topic or parts.query or parts.fragment:
        raise ValueError("the address of an ntfy topic is https://server/topic")
    return f"{parts.scheme}://{parts.netloc}{quote(unquote(folder))}/", unquote(topic)


@attrs.frozen(kw_only=True)
class ChatForm:
    """One of the three, by name."""

    courier: Courier
    form: str

    async def send(self, address: str, letter: Letter) -> AttemptOutcome:
        try:
            found = _addresses.decode(address)
            url, body = _message(self.form, found, letter)
        except (ContractError, ValueError) as error:
            return AttemptOutcome(error=f"the address is of no use: {error}", hopeless=True)
        token = {"authorization": f"Bearer {found.token}"} if found.token else {}
        return await self.courier.post(url, json.dumps(body).encode(), {**JSON, **token})


def _message(form: str, address: ChatAddress, letter: Letter) -> tuple[str, dict[str, Any]]:
    match form:
        case "ntfy":
            server, topic = ntfy_topic(address.url)
            return server, {"topic": topic, **ntfy_body(letter)}
        case "slack":
            return address.url, slack_body(letter)
        case "teams":
            return address.url, teams_body(letter)
        case _:
            raise ValueError(f"unknown form {form}")


def ntfy_body(letter: Letter) -> dict[str, Any]:
    """Return a message of ntfy's publishing API."""
    found: dict[str, Any] = {
        "title": letter.title,
        "message": letter.text or letter.title,
        "priority": 4 if letter.urgent else 3,
    }
    return {**found, "click": letter.url} if letter.url else found


def slack_body(letter: Letter) -> dict[str, Any]:
    """Return a message in blocks. Text of agents is plain_text: nothing in it becomes a link or calls a channel."""
    blocks: list[dict[str, Any]] = [_slack_text(f"{letter.title}\n{letter.text}".strip())]
    if letter.url:
        label = {"type": "plain_text", "text": ANSWER if letter.link else OPEN}
        blocks.append({"type": "actions", "elements": [{"type": "button", "text": label, "url": letter.url}]})
    if letter.village:
        blocks.append({"type": "context", "elements": [{"type": "plain_text", "text": letter.village}]})
    return {"text": _escaped(letter.title), "blocks": blocks}


def _slack_text(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "plain_text", "text": text[:3000], "emoji": False}}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def teams_body(letter: Letter) -> dict[str, Any]:
    """Return an adaptive card. Text runs, other than text blocks, are no Markdown."""
    lines = [(letter.title, "bolder"), *((line, "default") for line in letter.text.split("\n") if line)]
    body = [
        {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, "weight": weight}]}
        for text, weight in lines
    ]
    card: dict[str, Any] = {"type": "AdaptiveCard", "version": "1.4", "body": body}
    card["$schema"] = "http://adaptivecards.io/schemas/adaptive-card.json"
    if letter.url:
        card["actions"] = [{"type": "Action.OpenUrl", "title": ANSWER if letter.link else OPEN, "url": letter.url}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}
