"""Durable state: the event log (`log`), and the tables with a module for each noun, called through `database`."""
