"""Distributed traces on our wires."""
