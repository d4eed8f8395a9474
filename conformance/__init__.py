"""Conformance kits: named checks that somebody who writes a runner, or a service, can run against their program."""
