"""The repository around a directory, read from its files: no process is run, so nothing can hang or be run from it."""

import re
import stat
from pathlib import Path

import attrs

from townwatch.contracts.events import RepoRef
from townwatch.runner.reading import lines_of, read_file

SMALL_BYTES = 1 << 20
"""No file of git's own that is read here is larger."""
_OBJECT_NAME = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@attrs.frozen
class Repository:
    """A working tree. `git_dir` is its own (of a linked worktree or a submodule: where its ``.git`` file points to);
    `common_dir` holds what all worktrees share: objects, references, the configuration.
    """

    top: Path
    git_dir: Path
    common_dir: Path


def find(directory: Path) -> Repository | None:
    """The working tree that `directory` is in; None outside of one. Raises OSError where a file of git's that is there
    cannot be read, as all of these: what it would say is not known.
    """
    directory = directory.resolve()
    for top in (directory, *directory.parents):
        git_dir = _git_dir(top)
        if git_dir is not None:
            return Repository(top, git_dir, _common_dir(git_dir))
    return None


def _git_dir(top: Path) -> Path | None:
    entry = top / ".git"
    try:
        mode = entry.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISREG(mode):
        said = _text(entry).strip()
        if not said.startswith("gitdir:"):
            return None
        entry = (top / said.removeprefix("gitdir:").strip()).resolve()
    try:
        (entry / "HEAD").lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return entry


def _common_dir(git_dir: Path) -> Path:
    said = _text(git_dir / "commondir").strip()
    return (git_dir / said).resolve() if said else git_dir


def _text(path: Path) -> str:
    """The text of a small file; empty where there is none. Raises OSError."""
    try:
        return read_file(path, most=SMALL_BYTES).decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""


def branch(repository: Repository) -> str | None:
    """The branch that is checked out; None where HEAD is detached."""
    head = _text(repository.git_dir / "HEAD").strip()
    name = head.removeprefix("ref:").strip().removeprefix("refs/heads/")
    return name if head.startswith("ref:") and name != ".invalid" else None


def head_commit(repository: Repository) -> str | None:
    """The name of the commit that is checked out; None where there is none yet, or where only git can say it."""
    said = _text(repository.git_dir / "HEAD").strip()
    if said.startswith("ref:"):
        name = said.removeprefix("ref:").strip()
        if ".." in name or name.startswith("/"):
            return None
        said = _text(repository.git_dir / name).strip() or _text(repository.common_dir / name).strip()
        said = said or _packed(repository.common_dir, name)
    return said if _OBJECT_NAME.fullmatch(said) else None


def _packed(common_dir: Path, name: str) -> str:
    try:
        for line in lines_of(common_dir / "packed-refs"):
            commit, _, named = line.decode(errors="replace").strip().partition(" ")
            if named == name:
                return commit
    except (FileNotFoundError, NotADirectoryError):
        pass
    return ""


def configuration(repository: Repository) -> dict[str, str]:
    """Values of the repository's own configuration, by ``section.subsection.name``; names in lower case. Files that it
    includes are not read.
    """
    values = parse_configuration(_text(repository.common_dir / "config"))
    if values.get("extensions.worktreeconfig", "").lower() == "true":
        values |= parse_configuration(_text(repository.git_dir / "config.worktree"))
    return values


_HEADER = re.compile(r'\[\s*+([A-Za-z0-9.-]++)\s*+(?:"((?:[^"\\]|\\.)*+)")?\s*+\](.*)')


def parse_configuration(text: str) -> dict[str, str]:
    r"""git's configuration format; of a value that is set twice, the first.

    >>> parse_configuration('[remote "origin"]\n\turl = "git@github.com:a/b" ; mine\n[core]\n bare\n')
    {'remote.origin.url': 'git@github.com:a/b', 'core.bare': 'true'}
    """
    values: dict[str, str] = {}
    section = ""
    for raw in text.replace("\\\n", "").splitlines():
        line = raw.strip()
        if header := _HEADER.match(line):
            sub = "." + re.sub(r"\\(.)", r"\1", header[2]) if header[2] is not None else ""
            section, line = header[1].lower() + sub, header[3].strip()
        if not line or line[0] in "#;":
            continue
        name, sign, value = line.partition("=")
        values.setdefault(f"{section}.{name.strip().lower()}", _value(value.strip()) if sign else "true")
    return values


_ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}


def _value(text: str) -> str:
    """Return a configuration value without quotes and comments."""
    out: list[str] = []
    quoted = False
    characters = iter(text)
    for character in characters:
        if character == "\\":
            following = next(characters, "")
            out.append(_ESCAPES.get(following, following))
        elif character == '"':
            quoted = not quoted
        elif character in "#;" and not quoted:
            return "".join(out).rstrip()
        else:
            out.append(character)
    return "".join(out)


def repo_ref(directory: Path, repository: Repository | None) -> RepoRef:
    """Name the code's repository: on the forge that `origin` names, else this directory."""
    if repository is None:
        return RepoRef(provider="local", path=str(directory), name=directory.name)
    current = branch(repository)
    remote = parse_remote(configuration(repository).get("remote.origin.url", ""))
    if remote is not None:
        provider, owner, name = remote
        return RepoRef(provider=provider, owner=owner, name=name, default_branch=current)  # pyright: ignore
    return RepoRef(provider="local", path=str(repository.top), name=repository.top.name, default_branch=current)


def parse_remote(url: str) -> tuple[str, str, str] | None:
    """(provider, owner, name) of a remote's address; None for hosts that are none of the three forges.

    >>> parse_remote("git@github.com:acme/app.git")
    ('github', 'acme', 'app')
    """
    host, _, path = url.partition("://")[2].partition("/") if "://" in url else url.partition(":")
    host = host.rpartition("@")[2].partition(":")[0].lower()
    provider = {"github.com": "github", "gitlab.com": "gitlab", "bitbucket.org": "bitbucket"}.get(host)
    owner, _, name = path.removesuffix("/").removesuffix(".git").rpartition("/")
    return (provider, owner, name) if provider and owner and name else None
