"""E-mail: plain text, from the service's own address, through the mail server of the configuration."""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import attrs

from townwatch.net.http_client import NotAnswered
from townwatch.net.smtp import MailRefused, MailServer, send_mail
from townwatch.notify.deliver import AttemptOutcome
from townwatch.notify.forms.letter import Letter


@attrs.frozen(kw_only=True)
class MailForm:
    """`server` None: the configuration names none, and no mail is sent."""

    server: MailServer | None
    sender: str
    seconds: float

    async def send(self, address: str, letter: Letter) -> AttemptOutcome:
        if self.server is None:
            return AttemptOutcome(error="this service has no mail server: an administrator sets [mail]", hopeless=True)
        try:
            await send_mail(self.server, self.sender, address, message(self.sender, address, letter), self.seconds)
        except MailRefused as error:
            return AttemptOutcome(error=str(error), hopeless=error.permanent)
        except NotAnswered as error:
            return AttemptOutcome(error=str(error))
        return AttemptOutcome(status=250)


def message(sender: str, recipient: str, letter: Letter) -> bytes:
    """Return a message as it goes over the wire. The same call has the same Message-ID over every attempt."""
    made = EmailMessage(policy=SMTP)
    made["From"] = f"Townwatch <{sender}>"
    made["To"] = recipient
    made["Subject"] = f"{letter.title} [{letter.village}]" if letter.village else letter.title
    made["Date"] = format_datetime(datetime.fromtimestamp(letter.at_ms / 1000, UTC))
    made["Message-ID"] = f"<{letter.message_id}@{sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    made["X-Auto-Response-Suppress"] = "All"
    if letter.urgent:
        made["Importance"] = "high"
    parts = [letter.title, letter.text]
    if letter.url:
        what = "Look at it and answer; nothing is decided by opening it" if letter.link else "Open it"
        parts.append(f"{what}:\n{letter.url}")
    if letter.kind != "channel.confirm":
        parts.append("-- \nTownwatch calls you because you asked it to, in its settings under Calls.")
    made.set_content("\n\n".join(part for part in parts if part) + "\n")
    return made.as_bytes()
