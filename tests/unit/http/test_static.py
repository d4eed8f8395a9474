"""The page's files, and nothing else."""

import gzip
import re
from pathlib import Path

import pytest

from townwatch import dashboard
from townwatch.transports.edge.server import Request
from townwatch.transports.http.static import Page


@pytest.fixture
def page(tmp_path):
    root = tmp_path / "page"
    (root / "js").mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html>" + "x" * 1000)
    (root / "js" / "main.js").write_text("main()")
    (root / "__init__.py").write_text("secret = 1")
    (tmp_path / "outside.js").write_text("no")
    (root / "link.js").symlink_to(tmp_path / "outside.js")
    return Page(root)


def ask(path, method="GET", **headers):
    named = [("host", "town.example:8484"), *((k.replace("_", "-"), v) for k, v in headers.items())]
    return Request(method, path, path, "", named, "127.0.0.1")


async def test_the_page_itself(page):
    answer = await page(ask("/"))
    assert (answer.status, answer.body[:15]) == (200, b"<!doctype html>")
    headers = dict(answer.headers)
    assert headers["content-type"] == "text/html; charset=utf-8"
    csp = headers["content-security-policy"]
    assert "default-src 'self'" in csp
    assert "frame-ancestors 'none'" in csp
    assert "unsafe" not in csp
    assert "connect-src 'self' ws://town.example:8484 wss://town.example:8484;" in csp
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/js/main.js"])
async def test_a_module_has_the_type_that_browsers_demand(page, path):
    assert dict((await page(ask(path))).headers)["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/__init__.py", "/js", "/js/", "/../outside.js", "/js/../../outside.js", "//etc/passwd", "/link.js", "/%2e%2e/",
        "/js/main.js\0", "/js\\main.js", "/.", "/..",
    ],
)  # fmt: skip
async def test_no_path_leads_anywhere_else(page, path):
    assert (await page(ask(path))).status == 404


async def test_what_the_browser_has_is_not_sent_again(page):
    tag = dict((await page(ask("/"))).headers)["etag"]
    again = await page(ask("/", if_none_match=f'"other", W/{tag}'))
    assert (again.status, again.body) == (304, b"")
    assert (await page(ask("/", if_none_match='"other"'))).status == 200


async def test_who_takes_gzip_gets_it(page):
    answer = await page(ask("/", accept_encoding="br, gzip"))
    assert dict(answer.headers)["content-encoding"] == "gzip"
    assert gzip.decompress(answer.body).startswith(b"<!doctype html>")
    assert "content-encoding" not in dict((await page(ask("/", accept_encoding="gzip;q=0"))).headers)


async def test_files_can_be_read_only(page):
    answer = await page(ask("/", method="POST"))
    assert (answer.status, dict(answer.headers)["allow"]) == (405, "GET, HEAD")


async def test_a_host_that_is_none_gets_into_no_header(page):
    request = ask("/")
    request.headers = [("host", "x; script-src *")]
    assert "script-src *" not in dict((await page(request)).headers)["content-security-policy"]


async def test_the_real_page_is_whole():
    page = Page(dashboard.ROOT)
    assert {"index.html", "js/main.js"} <= set(page.paths())
    assert not [path for path in page.paths() if path.endswith(".py")]


IMPORT = re.compile(r'^(?:import|export)\b[^"]*"(\.[^"]+)";', re.MULTILINE)


def test_the_page_names_at_once_all_that_its_start_imports():
    """Else a browser finds a module only when it has read the one that imports it: a round trip for each step."""
    root = Path(dashboard.__file__).parent
    wanted: set[str] = set()
    unread = [root / "js" / "main.js"]
    while unread:
        module = unread.pop()
        for name in IMPORT.findall(module.read_text()):
            found = (module.parent / name).resolve()
            if (path := found.relative_to(root.resolve()).as_posix()) not in wanted:
                wanted.add(path)
                unread.append(found)
    named = re.findall(r'rel="modulepreload" href="([^"]+)"', (root / "index.html").read_text())
    assert sorted(wanted) == sorted(named)
    assert not any("xterm" in path for path in wanted), "a terminal's files are for screens with a terminal"
