"""What agents' CLIs send by OTLP to the runner's loopback port: logs, in JSON or protobuf."""
