"""The bridge to other people's Socket.IO servers: its tasks, and how the service is told of it."""
