"""`townwatch --help` without importing the commands: standard library only. A test holds it against them."""

GROUPS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Run",
        (
            ("serve", "Run the service (--demo: with a demo's agents)."),
            ("run", "Run a command as a session: its terminal here, and on the page at the same moment."),
            ("runner", "Run this machine's runner, or enrol it at a service."),
            ("adopt", "Go on, as a session, with a conversation that an agent had outside."),
            ("demo", "Run the demo's agents beside a service."),
        ),
    ),
    (
        "Sessions, here or at a service you are signed in at",
        (
            ("status", "Say whether the service is well, and how much is going on."),
            ("ls", "List sessions."),
            ("attach", "Show a session's terminal here, and type into it."),
            ("logs", "Print what a session's terminal has shown."),
            ("start", "Start a session on a runner."),
            ("prompt", "Give a session's agent a prompt."),
            ("approve", "Allow what an agent asks for; without an id, list what waits."),
            ("deny", "Refuse what an agent asks for."),
            ("stop", "Stop a session."),
            ("end", "Declare a session lost that its runner will never end."),
            ("open", "Open the page in a browser."),
            ("changes", "Say what a session changed that is not committed, pushed or merged."),
            ("commit", "Commit what a session changed."),
            ("branch", "Switch a session's tree to another branch."),
            ("push", "Push a session's branch."),
            ("pr", "Open a pull request of a session's branch."),
            ("merge", "Merge a session's branch into another one of its repository."),
            ("discard", "Remove the worktree of a session that has ended."),
            ("acp", "Let an editor drive sessions, over the Agent Client Protocol."),
            ("mcp", "Let an agent or editor do this, over the Model Context Protocol."),
        ),
    ),
    (
        "From inside a session",
        (
            ("ask", "Ask for approval: status 0 allowed, 1 denied, 2 no answer could be had."),
            ("alert", "Raise or resolve an alert."),
            ("usage", "Report tokens that were used."),
        ),
    ),
    (
        "People and upkeep",
        (
            ("link", "Print a new one-time link that signs the owner in."),
            ("login", "Sign in at a service on another machine, and save the login."),
            ("logout", "Revoke and forget the login at a service."),
            ("user", "Add, list, lock out people of this service."),
            ("policy", "Check rules, and explain what they decide."),
            ("budget", "List, set and raise budgets of a village."),
            ("webhook", "Call other programs when something happens in a village."),
            ("channel", "Say how you are called when something needs you."),
            ("doctor", "Check everything that the service stands on, and repair it."),
            ("backup", "Copy the databases and secrets."),
            ("migrate", "Move everything from SQLite to PostgreSQL, or back."),
            ("conformance", "Check a runner, or a service, that speaks our protocols."),
            ("schema", "Print JSON Schemas or TypeScript types of the wires."),
            ("tree", "Show the supervision tree, live."),
            ("chaos", "Pull plugs of a service, and prove that nothing is lost."),
        ),
    ),
)
STATUSES = "Exit status: 0 done, 1 the service said no, 2 used wrongly or not reached, 130 interrupted."


def text() -> str:
    """Return the help of the whole command."""
    lines = ["Usage: townwatch COMMAND", "", "The control room for coding agents."]
    for title, commands in GROUPS:
        lines += ["", f"{title}:"]
        lines += [f"  {name:11} {summary}" for name, summary in commands]
    lines += ["", "townwatch COMMAND --help says more, townwatch --version which one this is.", STATUSES]
    return "\n".join(lines)
