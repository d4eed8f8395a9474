"""Calls to people and programs outside: webhooks."""
