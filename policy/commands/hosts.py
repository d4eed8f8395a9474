"""Hosts that a command talks to, as its program parses them. Pure."""

import ipaddress
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from townwatch.policy.commands.arguments import ParsedCommand
from townwatch.policy.shell.expansion import Argument

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/{1,3}(.*)", re.S)
_SCP = re.compile(r"(?:[\w.+-]+@)?(\[[0-9a-fA-F:.]+\]|[\w.-]+):(?!//)(.*)", re.S)
_FETCHERS = frozenset({"curl", "wget", "http", "https", "xh", "aria2c", "axel", "lynx", "w3m", "links"})
_BARE = frozenset(
    "ping ping6 dig nslookup host nc ncat netcat telnet ftp sftp traceroute tracepath mtr nmap whois socat".split()
)
_GIT = frozenset(
    {"git clone", "git fetch", "git pull", "git push", "git ls-remote", "git remote update", "git remote show"}
)
_REGISTRIES = {
    name: host
    for host, names in (
        (
            "registry.npmjs.org",
            "npm install, npm ci, npm i, npm add, npm view, npm info, npm show, npm audit, npm outdated, npm"
            " update, npm ping, npm search, npm publish, npm exec, npx",
        ),
        (
            "pypi.org",
            "pip install, pip3 install, pip download, pip wheel, pip index",
        ),
    )
    for name in names.split(", ")
}
_ELSEWHERE = {
    "curl": tuple(
        "-x --proxy --preproxy --socks4 --socks4a --socks5 --socks5-hostname --resolve --connect-to -K"
        " --config -L --location --location-trusted --doh-url --unix-socket --abstract-unix-socket"
        " --interface --expand-url --variable --dns-servers --haproxy-protocol --proto-redir".split()
    ),
    "wget": ("-i", "--input-file", "-e", "--execute", "--config", "-r", "--recursive", "-m", "--mirror", "-H", "-B"),
}
UNKNOWN_HOST = None
"""A host that cannot be told."""


def hosts_of(command: ParsedCommand) -> Iterator[str | None]:
    """Yield each host of a command, normalised; None for one that is not known."""
    name, key = command.name, command.key
    if command.has(*_ELSEWHERE.get(name, ())) or (name == "wget" and command.targets and not _stays(command)):
        yield UNKNOWN_HOST
    for value in command.values(*_PROXIES) if name == "curl" else ():
        yield _authority(value.text.rpartition("://")[2], value)
    if key in _REGISTRIES and not any("://" in one.word.text for one in command.targets):
        yield _REGISTRIES[key]
    for word in _words(command):
        yield from _hosts_in(command, word)
    if key in _GIT and not any(_URL.match(one.word.text) or _SCP.match(one.word.text) for one in command.targets):
        yield UNKNOWN_HOST
    if key in _REMOTE:
        yield UNKNOWN_HOST


_PROXIES = ("-x", "--proxy", "--preproxy", "--socks4", "--socks4a", "--socks5", "--socks5-hostname", "--doh-url")


def _stays(command: ParsedCommand) -> bool:
    """Return whether wget was told to follow no redirection, which it does by itself."""
    return any(value.text == "0" for value in command.values("--max-redirect"))


_REMOTE = frozenset(
    "gh api, gh pr list, gh pr view, gh pr create, gh issue list, gh issue view, gh issue create, gh run"
    " list, gh run view, docker pull, docker push, docker build, cargo install, cargo publish, cargo add,"
    " cargo fetch, cargo update, go get, go install, go mod download, yarn, pnpm, uv add, uv sync, uv pip"
    " install, poetry, apt, apt-get, brew, gem, bundle, composer, aws, gcloud, az".split(", ")
)


def _words(command: ParsedCommand) -> Iterator[Argument]:
    text = {
        "-d",
        "--data",
        "--data-raw",
        "-H",
        "--header",
        "-A",
        "-e",
        "-u",
        "-b",
        "-w",
        "--data-binary",
        "--data-urlencode",
        "-F",
        "--json",
        "-m",
        "--message",
        "--grep",
        "-X",
        "--request",
    }
    for operand in command.targets:
        yield operand.word
    for option in command.options:
        if (
            option.value is not None
            and (option.spec is None or option.spec.kind != "t")
            and not text & set(option.names)
        ):
            yield option.value


def _hosts_in(command: ParsedCommand, word: Argument) -> Iterator[str | None]:
    text = word.text
    match = _URL.match(text.strip())
    if match is not None and match.group(1).lower() not in ("file", "data"):
        yield _authority(match.group(2), word)
        return
    name = command.name
    values = {id(one.value) for one in command.options}
    if name in _FETCHERS:
        if id(word) in values and not any(one.value is word and "--url" in one.names for one in command.options):
            return
        if match is None and text and not text.startswith("-"):
            yield _authority(re.sub(r"^/+", "", text), word)
    elif name in ("scp", "rsync", "git", "sftp") and (scp := _SCP.fullmatch(text)) is not None:
        if name == "git" and command.key not in _GIT:
            return
        yield normal_host(scp.group(1)) if word.known else UNKNOWN_HOST
    elif name in _BARE and id(word) not in values and not text.startswith(("-", "+")) and not text.isdigit():
        yield (
            normal_host(text.rpartition("@")[2].partition(":")[0] if text.count(":") < 2 else text)
            if word.known
            else UNKNOWN_HOST
        )
    elif name == "ssh" and command.targets and word is command.targets[0].word:
        yield normal_host(text.rpartition("@")[2]) if word.known else UNKNOWN_HOST


def _authority(text: str, word: Argument) -> str | None:
    """Return the host of the part behind ``scheme://``."""
    authority = re.split(r"[/?#]", text, maxsplit=1)[0]
    if "\\" in authority or not authority or any(c in authority for c in "{}*") or any(c.isspace() for c in authority):
        return UNKNOWN_HOST
    if not word.known and not Argument(authority).known:
        return UNKNOWN_HOST
    if not word.known and len(authority) == len(text):  # the unknown part may go on with the host
        return UNKNOWN_HOST
    host = authority.rpartition("@")[2]
    if authority.count("@") > 1:
        return UNKNOWN_HOST
    if host.startswith("["):
        end = host.find("]")
        if end < 0:
            return UNKNOWN_HOST
        if ":" not in host[:end]:  # a range of curl
            return UNKNOWN_HOST
        return normal_host(host[: end + 1])
    if "[" in host:
        return UNKNOWN_HOST
    return normal_host(host.partition(":")[0])


def normal_host(text: str) -> str | None:
    """Return a host in one form: lower case, no last dot, numbers as an address; None for what is no host, and for
    letters that name one host by the rules of 2003 and another one by those of today.
    """
    host = unquote(text.strip()).strip("[]")
    host = host.partition("%")[0] if host.count(":") > 1 else host  # the zone of an address
    host = unicodedata.normalize("NFKC", host).replace("\u3002", ".").rstrip(".")
    if not host or re.search(r"[\s\x00-\x1f/\\@<>^|\"'`{}%\u00df\u1e9e\u03c2\u200c\u200d]", host):
        return UNKNOWN_HOST
    host = host.casefold()
    if (address := _address(host)) is not None:
        return address
    if not host.isascii():
        try:
            return host.encode("idna").decode("ascii")
        except UnicodeError:
            return UNKNOWN_HOST
    return host


def _address(host: str) -> str | None:
    if ":" in host:
        try:
            six = ipaddress.IPv6Address(host)
        except ValueError:
            return None
        mapped = six.ipv4_mapped
        if mapped is None and int(six) >> 32 == 0x64FF9B << 64:
            mapped = ipaddress.IPv4Address(int(six) & 0xFFFFFFFF)
        if mapped is None and 1 < int(six) < 1 << 32:
            mapped = ipaddress.IPv4Address(int(six))
        return str(mapped) if mapped is not None else str(six)
    parts = host.split(".")
    if len(parts) > 4 or not all(re.fullmatch(r"0[xX][0-9a-fA-F]+|\d+", one) for one in parts):
        return None
    try:
        numbers = [
            int(one, 16) if one[:2] in ("0x", "0X") else int(one, 8) if one[0] == "0" and len(one) > 1 else int(one)
            for one in parts
        ]
    except ValueError:
        return None
    value = numbers[-1]
    if any(one > 255 for one in numbers[:-1]) or value >= 256 ** (5 - len(numbers)):
        return None
    for place, number in enumerate(numbers[:-1]):
        value += number << (8 * (3 - place))
    return str(ipaddress.IPv4Address(value))


def host_matches(pattern: str, host: str) -> bool:
    """Return True where a rule names a host: the name itself, ``*.example.com``, or a network as ``10.0.0.0/8``."""
    if pattern == "*":
        return True
    if "/" in pattern:
        try:
            network = ipaddress.ip_network(pattern, strict=False)
            if _loopback(host) and any(one in network for one in _HERE):
                return True
            return ipaddress.ip_address(host) in network
        except ValueError:
            return False
    if pattern.startswith("*."):
        return host.endswith("." + (normal_host(pattern[2:]) or pattern[2:]))
    normal = normal_host(pattern)
    if host == normal:
        return True
    return _loopback(host) and normal is not None and _loopback(normal)


_HERE = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))


def _loopback(host: str) -> bool:
    if host in ("localhost", "0.0.0.0", "::") or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
