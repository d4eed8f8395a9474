"""A village's rules over REST."""

from tests.support.cast import event


async def test_rules_are_tried_on_all_that_a_question_said(rest):
    """The runner would know the file, the host and the hour: so does the trial, or its count is a guess."""
    questions = [
        ("edit", {"tool": "Edit", "input": {"file_path": "migrations/1.sql"}}),
        ("network", {"tool": "WebFetch", "input": {"url": "https://evil.example/x"}}),
        ("shell", {"tool": "Bash", "input": {"command": ["rm", "-rf", "build"]}}),
        ("merge", None),
    ]
    await rest.runner("r1")
    await rest.session(
        event("SESSION_STARTED", 1, providerId="codex", providerVersion="1", workspacePath="/w"),
        *(
            event(
                "APPROVAL_REQUESTED",
                seq,
                approval={
                    "approvalId": f"a{seq}", "sessionId": "s1", "category": category, "summary": category,
                    "risk": "low", "requestedAt": 9 * 3_600_000, **({} if context is None else {"context": context}),
                },
            )
            for seq, (category, context) in enumerate(questions, start=2)
        ),
    )  # fmt: skip
    for seq in range(2, 6):
        decided = await rest.post(f"/api/runner/sessions/s1/approvals/a{seq}", {"decision": "deny"})
        assert decided.status_code == 200, decided.text
    rules = [
        {"id": "files", "effect": "deny", "path": "migrations/**"},
        {"id": "hosts", "effect": "deny", "host": "evil.example"},
        {"id": "rm", "effect": "deny", "command": "rm *"},
        {"id": "morning", "effect": "allow", "category": "merge", "hours": "08:00-10:00"},
    ]
    answer = await rest.post("/api/villages/closed/policy/try", {"rules": rules})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert {one["approvalId"]: one["rule"] for one in said["items"]} == {
        "a2": "files", "a3": "hosts", "a4": "rm", "a5": "morning",
    }  # fmt: skip
    assert (said["denied"], said["allowed"], said["asked"]) == (3, 1, 0)
