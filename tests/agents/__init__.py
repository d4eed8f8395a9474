"""Run every agent CLI that we have an adapter for, by hand: ``python -m tests.agents``."""
