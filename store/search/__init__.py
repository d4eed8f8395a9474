"""The search index: words of what happened in sessions, with where each was said. Derived from the log, never a source.

It may be deleted at any time and is built again. `records` has the port; `sqlite` and `postgres` keep it.
"""
