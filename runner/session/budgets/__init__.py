"""Budgets of one session, on its runner: its own, and its leases on those that it shares."""
