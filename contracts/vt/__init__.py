"""A terminal as state: a VT parser, the filter for viewers, and a screen that can be sent as a snapshot.

It follows xterm.js, which draws the terminal on the page: what this package holds and what the page shows are the same,
cell by cell (tests/terminal compares them). Pure: text in, state out, no I/O.
"""
