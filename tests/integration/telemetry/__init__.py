"""Traces of a composed service, sent to a collector on a real socket."""
