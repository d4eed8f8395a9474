"""Rules that decide what people need not: pure, without I/O, below actors and runner."""
