"""Budgets that sessions share: counted from the event log, leased to runners, warned of and raised."""
