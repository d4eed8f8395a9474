"""Townwatch, the control room for coding agents. Its packages are the folders at the top of the repository."""

__version__ = "0.1.0"
