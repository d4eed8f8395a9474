"""What a question asks for, read from what an agent's tool call says."""

from datetime import datetime
from typing import Any, Literal

import attrs
import pytest

from townwatch.contracts.codec import ContractError
from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.policy import PolicyBody, PolicyRule
from townwatch.policy.commands.paths import Place
from townwatch.policy.requests import request_of
from townwatch.policy.village import LayeredRule, decide_request


def asked(category: str, given: dict[str, Any], summary: str = "it") -> ApprovalRequest:
    return ApprovalRequest(
        approval_id="a", session_id="s", category=category, summary=summary, risk="med",
        requested_at=(9 * 60 + 30) * 60_000.0, context={"tool": "T", "input": given},
    )  # fmt: skip


def verdict(question: ApprovalRequest, *rules: PolicyRule) -> str:
    return decide_request([LayeredRule(rule=one) for one in rules], request_of(question, Place())).verdict


def test_a_command_in_words_is_the_command() -> None:
    assert request_of(asked("shell", {"command": ["git", "log", "a b"]}), Place()).command == "git log 'a b'"
    assert request_of(asked("shell", {}, "ls -l"), Place()).command == "ls -l"


def test_the_time_is_the_questions() -> None:
    assert request_of(asked("edit", {}), Place()).at == (9 * 60 + 30) * 60


@pytest.mark.parametrize(
    ("category", "guard", "given"),
    [
        ("network", {"host": "evil.example"}, {"query": "boats"}),
        ("edit", {"path": "migrations/**"}, {"where": "somewhere"}),
    ],
)
@pytest.mark.parametrize("effect", ["ask", "deny"])
def test_what_is_not_known_is_not_allowed_where_rules_are_about_it(
    category: str, guard: dict[str, str], given: dict[str, str], effect: Any
) -> None:
    broad = PolicyRule(id="broad", effect="allow", category=category)
    assert verdict(asked(category, given), broad) == "allow"
    assert verdict(asked(category, given), broad, PolicyRule(id="guard", effect=effect, **guard)) == "ask"


GOOD = PolicyRule(id="good", effect="allow", host="good.com")


@pytest.mark.parametrize(
    "url",
    [
        "https://good.com/",
        "https://GOOD.com.:8443/x?y#z",
        "https://user:word@good.com/",
        "good.com:8080/path",
        "https:/good.com/",
        "https://g\u00adood.com/",
    ],
)
def test_an_address_is_allowed_by_its_host(url: str) -> None:
    assert verdict(asked("network", {"url": url}), GOOD) == "allow"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.com\\@good.com/",  # for Node the host is evil.com
        "https://good.com\t.evil.com/",  # a tab is left out
        "https://good.com\n.evil.com/",
        "https:\\\\evil.com/://good.com/",
        "https://good.com%25.evil.com/",
        "https://good.com:80@evil.com/",
        "https://good.com@evil.com/",
        "file:///etc/passwd://good.com/",
        "javascript://good.com/%0afetch()",
        "https://good.com\u2028.evil.com/",
        "https://good.com/?next=https://evil.com/",
    ],
)
def test_an_address_that_some_program_reads_as_another_host_is_not_allowed(url: str) -> None:
    assert verdict(asked("network", {"url": url}), GOOD) == "ask"


def test_letters_that_are_two_hosts_are_no_host() -> None:
    """faß.de is fass.de by the rules of 2003, and a host of its own by those of today."""
    fass = PolicyRule(id="fass", effect="allow", host="fass.de")
    assert verdict(asked("network", {"url": "https://fa\u00df.de/"}), fass) == "ask"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("*.b\u00fccher.example", "https://x.B\u00dcCHER.example/"),
        ("*.b\u00fccher.example", "https://x.xn--bcher-kva.example/"),
        ("127.0.0.0/8", "http://localhost:80/"),
        ("127.0.0.0/8", "http://0/"),
        ("::1/128", "http://[0:0::1]:8080/"),
        ("169.254.0.0/16", "http://2852039166./"),
        ("169.254.169.254", "http://[::ffff:a9fe:a9fe]/"),
        ("evil.com", "http:evil.com"),
        ("evil.com", "//evil.com/"),
        ("evil.com", "http:\\\\evil.com"),
        ("evil.com", "https://EVIL\u3002com./"),
    ],
)
def test_an_address_is_denied_in_every_spelling(host: str, url: str) -> None:
    broad = PolicyRule(id="broad", effect="allow", category="network")
    assert verdict(asked("network", {"url": url}), broad, PolicyRule(id="no", effect="deny", host=host)) == "deny"


def test_an_address_in_numbers_is_a_host_like_others() -> None:
    """A denial of another host is not met by it."""
    rules = PolicyRule(id="six", effect="allow", host="2001:db8::/32"), PolicyRule(id="no", effect="deny", host="a.com")
    assert verdict(asked("network", {"url": "http://[2001:db8::1]:8080/"}), *rules) == "allow"


@pytest.mark.parametrize("host", ["evil.com:443", "https://evil.com", "evil.com/", "a@b.com", "e*.com", "10.0.0.0/33"])
def test_a_host_that_nothing_is_ever_compared_equal_with_is_refused(host: str) -> None:
    with pytest.raises(ContractError, match="would never be met"):
        PolicyBody(rules=[PolicyRule(id="no", effect="deny", host=host)]).check()


@pytest.mark.parametrize("host", ["*", "*.evil.com", "evil.com.", "::1", "[::1]", "fe80::/10", "10.0.0.0/8", "my_host"])
def test_hosts_that_rules_may_name(host: str) -> None:
    PolicyBody(rules=[PolicyRule(id="no", effect="deny", host=host)]).check()


def test_hours_without_length_are_refused() -> None:
    with pytest.raises(ContractError, match="whole day"):
        PolicyBody(rules=[PolicyRule(id="no", effect="deny", hours="08:00-08:00")]).check()


def on_branch(command: str, branch: str | None, *rules: PolicyRule) -> str:
    question = asked("shell", {"command": command})
    told = {"tool": "T", "input": {"command": command}, **({"checkedOut": branch} if branch else {})}
    return verdict(attrs.evolve(question, context=told), *rules)


PUSH = PolicyRule(id="push", effect="allow", command="git push *", branch="feature/*")
COMMIT = PolicyRule(id="commit", effect="allow", command="git commit *")
MAIN = PolicyRule(id="main", effect="deny", command="git push *", branch="main")


def test_a_rule_for_a_branch_is_about_the_one_that_is_checked_out() -> None:
    assert on_branch("git push origin HEAD", "feature/a", PUSH, MAIN) == "allow"
    assert on_branch("git commit -m x && git push 2>&1 | tail -3", "main", MAIN) == "deny"
    assert on_branch("git commit -m x && git push", "feature/a", PUSH, COMMIT, MAIN) == "allow"
    assert on_branch("git push", "other", PUSH, MAIN) == "ask"


def test_a_branch_that_is_not_known_is_denied_and_not_allowed() -> None:
    assert on_branch("git push", None, PUSH) == "ask"
    assert on_branch("git push", None, MAIN) == "deny"


@pytest.mark.parametrize(
    "command",
    [
        "git switch main && git push",
        "git checkout -q main; git push",
        "git co main; git push",
        "git -C ../other push",
        "cd ../other && git push",
        "GIT_DIR=../other/.git git push",
        "env git push",
        "bash -c 'git switch main; git push'",
        "echo $(git switch main) && git push",
        "echo ${x:=$(git switch main)}; git push",
        "echo ref: refs/heads/main > .git/HEAD; git push",
        "if true; then git push; fi",
    ],
)
def test_a_line_that_may_work_on_another_branch_is_on_none_that_is_known(command: str) -> None:
    broad = PolicyRule(id="all", effect="allow", command="*")
    assert on_branch(command, "feature/a", broad, MAIN) == "deny"
    assert on_branch(command, "feature/a", PUSH, PolicyRule(id="else", effect="ask", command="*")) == "ask"


@pytest.mark.parametrize(
    ("hours", "zone", "moment", "holds"),
    [
        ("18:00-08:00", None, "2026-07-01T16:30+00:00", False),
        ("18:00-08:00", "Europe/Berlin", "2026-07-01T16:30+00:00", True),  # 18:30 of summer time
        ("18:00-08:00", "Europe/Berlin", "2026-12-01T16:30+00:00", False),  # 17:30
        ("18:00-08:00", "Europe/Berlin", "2026-12-01T17:00+00:00", True),  # the beginning is part of it
        ("18:00-08:00", "Europe/Berlin", "2026-12-01T07:00+00:00", False),  # the end is not
        ("18:00-08:00", "Europe/Berlin", "2026-12-01T23:30+00:00", True),  # behind midnight
        ("02:00-03:00", "Europe/Berlin", "2026-10-25T00:30+00:00", True),  # 02:30, which comes twice
        ("02:00-03:00", "Europe/Berlin", "2026-10-25T01:30+00:00", True),
        ("02:00-03:00", "Europe/Berlin", "2026-10-25T02:00+00:00", False),
        ("02:00-03:00", "Europe/Berlin", "2026-03-29T01:00+00:00", False),  # 03:00: that day has no 02:30
        ("09:00-17:00", "Asia/Kathmandu", "2026-07-01T03:15+00:00", True),  # a quarter to six hours ahead
        ("09:00-17:00", "Asia/Kathmandu", "2026-07-01T03:14+00:00", False),
        ("00:00-23:59", "America/St_Johns", "2026-07-01T02:29+00:00", False),  # 23:59 there
    ],
)
def test_hours_are_those_of_the_clocks_on_the_wall(hours: str, zone: str | None, moment: str, holds: bool) -> None:
    rule = PolicyRule(id="night", effect="deny", hours=hours, zone=zone)
    question = attrs.evolve(asked("edit", {}), requested_at=datetime.fromisoformat(moment).timestamp() * 1000)
    assert (verdict(question, rule) == "deny") is holds


def test_hours_of_a_zone_that_is_not_known_here_hold_for_a_denial_and_not_for_an_allow() -> None:
    pairs: list[tuple[Literal["allow", "deny"], str]] = [("deny", "deny"), ("allow", "ask")]
    for effect, found in pairs:
        rule = PolicyRule(id="r", effect=effect, hours="00:00-23:59", zone="Mars/Olympus")
        assert verdict(asked("edit", {}), rule) == found
        with pytest.raises(ContractError, match="no time zone"):
            PolicyBody(rules=[rule]).check()
    with pytest.raises(ContractError, match="has none"):
        PolicyBody(rules=[PolicyRule(id="r", effect="deny", zone="Europe/Berlin")]).check()


LINKS = {
    "/work/app/up": "/work/app/src/..",
    "/work/app/link": "/work/secret",
    "/work/app/conf": "/work/secret/.env",
    **{f"/work/app/chain{n}": f"/work/app/chain{n + 1}" for n in range(30)},
    "/work/app/chain30": "/work/secret/.env",
    "/work/app/loop": "/work/app/loop",
}


@pytest.mark.parametrize(
    "path",
    [
        "conf",
        "link/.env",
        "up/conf",
        "up/link/../app/conf",  # behind two links, `..` goes up from the second one's target
        "link/../app/link/./../secret/.env",
        "chain0",  # Linux follows forty links
        "/proc/self/root/work/app/conf",
        "/proc/self/cwd/up/link/.env",
    ],
)
def test_a_path_is_where_the_kernel_goes(path: str) -> None:
    place = Place(links=LINKS)
    question = request_of(asked("edit", {"file_path": path}), place)
    rules = [PolicyRule(id="all", effect="allow", category="edit", path="**")]
    rules.append(PolicyRule(id="env", effect="deny", path="**/.env"))
    assert decide_request([LayeredRule(rule=one) for one in rules], question).verdict == "deny"


def test_a_link_to_itself_is_a_path_that_ends() -> None:
    assert Place(links=LINKS).absolute("loop/x/../y", "/work/app") == "/work/app/loop/y"
