"""The whole service against its peers: events in from a runner, out to N people. `python -m bench.fanout --help`."""
