"""Clients that come back to another process than the one that lost them."""
