"""A Redis client for one purpose, to hear and to say small messages: bounded, whatever the other end says."""
