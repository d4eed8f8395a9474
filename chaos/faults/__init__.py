"""Pulling plugs on purpose: the faults a service started with --chaos can do to itself, and the trial that watches it
from outside. docs/chaos.md says how to use them.
"""
