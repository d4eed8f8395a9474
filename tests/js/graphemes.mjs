// The grapheme addon under node. It decodes its table with Buffer.from, and reads it as if it began at the start of its memory,
// which is so in a browser, and here only without the pool that small buffers share.
const pool = Buffer.poolSize;
Buffer.poolSize = 0;
export const { UnicodeGraphemesAddon } = (await import("@xterm/addon-unicode-graphemes")).default;
Buffer.poolSize = pool;
