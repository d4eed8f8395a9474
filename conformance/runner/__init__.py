"""The kit for runners: the kit is the service, the runner under test connects to it."""
