"""Claude Code (https://code.claude.com): its TUI with hooks beside it, and dispatched with stream-json both ways."""
