"""Which values are secret is told by the words of a name; they are masked in every form that a program prints."""

import base64
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from townwatch.runner.session.redact import MASK, Redactor
from townwatch.runner.session.secret_values import is_secret_name, is_worth_masking, secrets_of

SECRET = 's3cr3t/"+va lue&9'

SECRET_NAMES = [
    "DEPLOY_TOKEN", "API_KEY", "apiKey", "SERVICE_PRIVATE_KEY", "PGPASSWORD", "MYSQL_PWD", "REDISCLI_AUTH",
    "SSHPASS", "NPM_AUTH", "dbPassword", "AWS_SECRET_ACCESS_KEY", "CLIENTSECRET", "GH_PAT", "SESSION_COOKIE",
    "VAULT_SECRET_ID", "SECRET_KEY_BASE", "GOOGLE_CREDENTIALS", "npm_config__auth", "KEY", "OPENAI_API_KEY_2",
]  # fmt: skip
OTHER_NAMES = [
    "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "XAUTHORITY", "SSH_AUTH_SOCK", "AUTHOR", "TOKENIZERS_PARALLELISM",
    "PASSENGER_ROOT", "KEYBOARD_LAYOUT", "MONKEY", "SECRETARY", "MAX_TOKENS", "PWD", "OLDPWD",
    "AWS_ACCESS_KEY_ID", "SECRET_FILE", "TOKEN_PATH", "AUTH_TYPE", "SSH_PUBLIC_KEY", "COMPASS",
    "BYPASS_CACHE", "TOWNWATCH_ASK", "AUTHENTICATOR_HOST",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_with_a_secret_word_is_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_name_with_the_letters_of_one_is_not(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "value",
    ["", "1", "true", "localhost", "production", "password", "aaaaaaaaaaaa", "/home/ada/.netrc", "/tmp/agent.sock"],
)
def test_what_stands_in_any_text_is_never_masked(value: str) -> None:
    assert not is_worth_masking(value)


def test_the_user_and_the_home_are_never_masked() -> None:
    environment = {"USER": "somebody", "DB_PASSWORD": "somebody", "HOME": "/strange/home", "SECRET": "/strange/home"}
    assert secrets_of(environment) == []


def test_a_password_in_a_url_is_secret_whatever_the_name() -> None:
    url = "postgres://app:correct-horse@db/app"
    assert secrets_of({"DATABASE_URL": url, "PAGE": "https://example.org:8443/a"}) == ["correct-horse"]


def test_an_author_is_no_secret() -> None:
    assert Redactor(secrets_of({"GIT_AUTHOR_NAME": "Test Person"})).clean("Test Person") == "Test Person"


FORMS = {
    "plain": SECRET,
    "quoted for a URL": quote(SECRET),
    "quoted whole": quote(SECRET, safe=""),
    "as a form's field": quote_plus(SECRET),
    "lower case escapes": quote(SECRET, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
    "JSON": json.dumps(SECRET)[1:-1],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_value_is_masked_in_each_form(form: str) -> None:
    if form != quote(SECRET, safe="").replace("%2F", "%2f").replace("%2B", "%2b"):
        assert Redactor([SECRET]).clean(f"<{form}>") == f"<{MASK}>"
    lower = "".join(c.lower() if form[max(0, at - 2) : at].find("%") >= 0 else c for at, c in enumerate(form))
    assert Redactor([SECRET]).clean(f"<{lower}>") == f"<{MASK}>"


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:", "token="])
@pytest.mark.parametrize("after", ["", "\n", "; and more"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_masked_at_each_alignment(before: str, after: str, encode: Callable[[bytes], bytes]) -> None:
    encoded = encode((before + SECRET + after).encode()).decode()
    shown = Redactor([SECRET]).clean(f"<{encoded}>")
    assert MASK in shown
    left = shown.replace(MASK, "")
    assert len(left) <= 2 + -(-len(before) * 4 // 3) + -(-len(after) * 4 // 3) + 6


def test_base64_that_is_broken_into_lines_is_masked() -> None:
    secret = "".join(chr(33 + number * 7 % 90) for number in range(200))
    shown = Redactor([secret]).clean(base64.encodebytes(secret.encode()).decode())
    assert len(shown.replace(MASK, "")) < 12


def test_each_line_of_a_secret_is_masked_by_itself() -> None:
    key = "first line of the key\nsecond line of the key\nthird line of the key\n"
    redactor = Redactor([key])
    for line in key.splitlines():
        assert redactor.clean(f"<{line}>\r\n") == f"<{MASK}>\r\n"
    assert redactor.clean(key.replace("\n", "\\n")).count(MASK) == 1
