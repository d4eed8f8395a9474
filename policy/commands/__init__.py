"""Judgement of one command line: options, wrappers, paths, hosts, environment. Pure."""
