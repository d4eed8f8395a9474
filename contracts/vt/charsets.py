"""Character sets that a program may choose (ESC ( and kin): line drawing and national ones, as xterm.js has them."""

_SETS = {
    "0": ("`abcdefghijklmnopqrstuvwxyz{|}~", "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·"),
    "4": ("#@[\\]{|}~", "£¾i½|¨f¼´"),
    "5": ("[\\]^`{|}~", "ÄÖÅÜéäöåü"),
    "6": ("@[\\]^`{|}~", "ÄÆØÅÜäæøåü"),
    "7": ("@[\\]^`{|}~", "ÉÄÖÅÜéäöåü"),
    "A": ("#", "£"),
    "C": ("[\\]^`{|}~", "ÄÖÅÜéäöåü"),
    "R": ("#@[\\]{|}~", "£à°ç§éùè¨"),
    "Q": ("@[\\]^`{|}~", "àâçêîôéùèû"),
    "K": ("@[\\]{|}~", "§ÄÖÜäöüß"),
    "Y": ("#@[\\]`{|}~", "£§°çéùàòèì"),
    "E": ("@[\\]^`{|}~", "ÄÆØÅÜäæøåü"),
    "Z": ("#@[\\]{|}", "£§¡Ñ¿°ñç"),
    "H": ("@[\\]^`{|}~", "ÉÄÖÅÜéäöåü"),
    "=": ("#@[\\]^_`{|}~", "ùàéçêîèôäöüû"),
}
CHARSETS = {name: {ord(old): new for old, new in zip(*pair, strict=True)} for name, pair in _SETS.items()}
"""By the final character of their sequence; ASCII ("B") and unknown ones have no entry."""
KNOWN = frozenset(CHARSETS) | {"B"}
LEVELS = {"(": 0, ")": 1, "*": 2, "+": 3, "-": 1, ".": 2}
