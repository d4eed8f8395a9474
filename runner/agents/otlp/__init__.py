"""Logs that agents' CLIs send by OTLP to the runner's loopback port, in JSON or protobuf."""
