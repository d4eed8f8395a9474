// Prints the width and grapheme class of every character, as @xterm/addon-unicode-graphemes has them, one range a line:
// first code point, class, width (hexadecimal). contracts/vt/widths_table.py is made of it (see tests/terminal/make_widths.py).
import { UnicodeGraphemesAddon } from "./graphemes.mjs";

const providers = {};
new UnicodeGraphemesAddon().activate({
  unicode: { register: (one) => (providers[one.version] = one), activeVersion: "6" },
});
const graphemes = providers["15-graphemes"];
let last = "";
for (let code = 0; code <= 0x10ffff; code++) {
  // After nothing: the class that is remembered, and the width.
  const properties = graphemes.charProperties(code, 0);
  const line = `${(properties >> 3) & 0xf} ${(properties >> 1) & 3}`;
  if (line !== last) console.log(`${code.toString(16)} ${line}`);
  last = line;
}
