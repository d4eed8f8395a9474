"""The ACP face."""
