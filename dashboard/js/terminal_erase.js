// xterm.js 6.0.0 stops for good when "erase above" (CSI 1 J) meets the last column of the last row while nothing has scrolled: it
// unwraps the line below, which is not there, and throws at every later write. There it erases all of the screen, so that is asked for.

export function eraseSafely(terminal) {
  for (const prefix of ["", "?"]) {
    terminal.parser.registerCsiHandler({ ...(prefix && { prefix }), final: "J" }, (params) => {
      const { cursorX, cursorY, length } = terminal.buffer.active;
      if (params[0] !== 1 || cursorX + 1 < terminal.cols || cursorY + 1 < length) return false;
      terminal._core?._inputHandler?.eraseInDisplay({ params: [2], length: 1 }, prefix === "?");
      return true;
    });
  }
}
