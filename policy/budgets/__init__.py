"""Arithmetic of budgets: periods, leases, pace. Pure."""
