"""Conformance kits: named checks that the author of a runner, or of a service, can run against it."""
