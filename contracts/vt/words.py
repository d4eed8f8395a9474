"""Terminal output as plain text."""

from townwatch.contracts.vt.parser import EscapeParser


class Words:
    """Terminal output as lines for a file or a pipe: printed text and line ends, nothing that moves or colours."""

    def __init__(self) -> None:
        self._parser = EscapeParser(self)
        self._text: list[str] = []

    def feed(self, text: str) -> str:
        """Return the words of `text`; what was begun is held until it is whole."""
        self._text = []
        position = 0
        while position < len(text):
            position = self._parser.feed_one(text, position)
        return "".join(self._text)

    def print(self, text: str) -> None:
        self._text.append(text)

    def execute(self, control: str) -> None:
        if control in "\n\t":
            self._text.append(control)

    def csi(self, prefix: str, parameters: str, intermediates: str, final: str) -> None:
        pass

    def esc(self, intermediates: str, final: str) -> None:
        pass

    def osc(self, body: str | None) -> None:
        pass

    def dcs(self, header: str, body: str | None) -> None:
        pass

    def ended(self) -> None:
        pass
