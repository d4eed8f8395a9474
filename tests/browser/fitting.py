"""How a screen is checked for every reader: axe-core, dark, light and the system's colours, from 320 px to 4K."""

from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.browser.conftest import DESKTOP

AXE = Path(__file__).parents[1] / "js" / "node_modules" / "axe-core" / "axe.min.js"
SMALL = {"width": 320, "height": 640}
WIDE = {"width": 3840, "height": 1200}
"""A 4K screen as far as something can be too wide for it: it is drawn without a graphics card."""
COLOURS = ("color-contrast", "link-in-text-block")
NOTED_BY_AXE = "Applying inline style"
"""What the Content-Security-Policy says of axe-core itself: tests that run it expect it."""


@attrs.frozen
class Look:
    """One way in which a screen is looked at, with the rules of axe-core whose answer depends on it."""

    name: str
    size: dict[str, int]
    scheme: str
    forced: str = "none"
    rules: str = "all"
    """all, colours, others, none"""


LOOKS = (
    Look("desktop, dark", DESKTOP, "dark"),
    Look("desktop, light", DESKTOP, "light", rules="colours"),
    Look("the system's own colours", DESKTOP, "dark", "active", "colours"),
    Look("320 px", SMALL, "dark", rules="others"),
    Look("4K", WIDE, "dark", rules="none"),
    Look("200 % on a laptop", {"width": 640, "height": 400}, "dark", rules="none"),
    Look("a tablet", {"width": 820, "height": 1180}, "dark", rules="none"),
)
RULES: dict[str, dict[str, Any]] = {
    "all": {},
    "colours": {"runOnly": {"type": "rule", "values": COLOURS}},
    "others": {"rules": {one: {"enabled": False} for one in COLOURS}},
}
VIOLATIONS = """async (rules) => {
  const options = { preload: false, resultTypes: ["violations"], ...rules };
  // What programs print in a terminal has colours of theirs.
  const found = await axe.run({ exclude: [".xterm-rows"] }, options);
  const data = ({ any: [check] }) => check?.data ?? {};
  const colours = (node) => (data(node).fgColor ? ` (${data(node).fgColor} on ${data(node).bgColor})` : "");
  const places = (one) => one.nodes.slice(0, 3).map((node) => node.target.join(" ") + colours(node)).join(", ");
  return found.violations.map((one) => `${one.id}: ${places(one)}`);
}"""
CUT = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  await frame(); await frame();  // what measures itself has measured
  const found = [];
  const boxes = document.querySelectorAll("html, main, dialog[open], details.pop[open] > .pop-body");
  for (const { scrollWidth, clientWidth, tagName } of boxes) {
    if (scrollWidth > clientWidth + 1) found.push(`<${tagName.toLowerCase()}> scrolls sideways: ${scrollWidth} px`);
  }
  const scrolls = (box) => box.tagName !== "MAIN" && /auto|scroll/.test(getComputedStyle(box).overflowX);
  const inScroller = ({ parentElement: box }) => box !== null && (scrolls(box) || inScroller(box));
  for (const one of document.querySelectorAll("button, a[href], input, select, textarea, summary")) {
    const { left, right, width } = one.getBoundingClientRect();
    if (width < 2 || right <= 0 || !one.checkVisibility() || inScroller(one)) continue;
    if (left < -1 || right > innerWidth + 1) found.push(`outside: ${one.outerHTML.slice(0, 90)}`);
  }
  for (const one of document.querySelectorAll("table")) {
    const beyond = one.getBoundingClientRect().right - one.parentElement.getBoundingClientRect().right;
    if (beyond > 1 && one.checkVisibility() && !inScroller(one)) found.push(`a table is ${beyond} px too wide`);
  }
  return found;
}"""


STILL = """async () => {
  const ends = (one) => Number.isFinite(one.effect?.getComputedTiming().endTime);
  await Promise.allSettled(document.getAnimations().filter(ends).map((one) => one.finished));
}"""
"""An animation under way keeps the colours that it began with when the scheme changes: Chromium, not the page."""


def misfits(page: Any) -> list[str]:
    """What does not fit on the page as it is now: violations of axe-core, sideways scroll, what is cut off."""
    if not AXE.exists():
        pytest.skip("the npm packages of tests/js are missing: make test installs them")
    if page.evaluate("typeof axe === 'undefined'"):  # half a megabyte: once for a document, not for each of its screens
        page.evaluate(AXE.read_text())
    before = page.viewport_size
    found: list[str] = []
    for look in LOOKS:
        page.set_viewport_size(look.size)
        page.evaluate(STILL)
        page.emulate_media(color_scheme=look.scheme, forced_colors=look.forced)
        here = page.evaluate(CUT)
        if look.rules != "none":
            here += page.evaluate(VIOLATIONS, RULES[look.rules])
        found += [f"{look.name}: {one}" for one in here]
    page.set_viewport_size(before)
    page.emulate_media(color_scheme=None, forced_colors=None)
    return found
