"""Forms of a call to a person: web push, e-mail, ntfy, Slack, Teams."""
