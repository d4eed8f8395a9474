"""The agents that are dispatched by the Agent Client Protocol: their programs, and what makes them speak it."""

from collections.abc import Sequence
from typing import ClassVar

from townwatch.runner.agents.acp.host import AcpHost
from townwatch.runner.agents.adapter import Host


class _Dispatched(AcpHost):
    """Common to agents whose program speaks the protocol with an argument; not for a person's terminal."""

    arguments: ClassVar[tuple[str, ...]] = ()

    def __init__(self, host: Host) -> None:
        super().__init__(host, self.arguments)

    @classmethod
    def recognise(cls, command: Sequence[str]) -> bool:
        """A person who starts such a program in a terminal talks to its own screen."""
        return False


class GeminiAcp(_Dispatched):
    """Gemini CLI, dispatched."""

    provider: ClassVar[str] = "gemini_cli"
    programs: ClassVar[tuple[str, ...]] = ("gemini",)
    tested: ClassVar[tuple[str, str]] = ("0.61.0", "0.61.0")
    arguments = ("--acp",)


class QwenAcp(_Dispatched):
    """Qwen Code, dispatched."""

    provider: ClassVar[str] = "qwen_code"
    programs: ClassVar[tuple[str, ...]] = ("qwen",)
    tested: ClassVar[tuple[str, str]] = ("0.24.4", "0.24.4")
    arguments = ("--acp",)


class CopilotAcp(_Dispatched):
    """GitHub Copilot CLI, dispatched."""

    provider: ClassVar[str] = "copilot"
    programs: ClassVar[tuple[str, ...]] = ("copilot",)
    tested: ClassVar[tuple[str, str]] = ("1.0.102", "1.0.102")
    arguments = ("--acp",)


class AnyAcp(_Dispatched):
    """Any agent at all: the order's command starts it, and it speaks the protocol on its standard streams."""

    provider: ClassVar[str] = "acp"
    programs: ClassVar[tuple[str, ...]] = ()
    tested: ClassVar[tuple[str, str]] = ("1", "1")
