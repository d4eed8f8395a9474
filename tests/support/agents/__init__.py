"""Agents for tests: the real CLIs from npm, a scripted model for them, and an agent that is scripted itself."""

from pathlib import Path


def fake_acp_path() -> Path:
    """Return the script of an agent that speaks the Agent Client Protocol as a test wants."""
    return Path(__file__).parent / "fake_acp.py"
