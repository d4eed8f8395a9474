"""Full-text search: what of events is text, the index behind the log, and finding in it."""
