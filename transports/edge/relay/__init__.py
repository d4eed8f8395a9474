"""Connections that a replica hands on to the leader: what both sides say first, and the bytes after it."""
