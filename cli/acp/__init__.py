"""The Agent Client Protocol, spoken as an agent: an editor drives sessions of the service."""
