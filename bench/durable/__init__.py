"""The whole durable path, measured: runners, in a process of their own → the service → acknowledged as durable."""
