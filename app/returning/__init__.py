"""Clients of Socket.IO that come back to the process that took over."""
