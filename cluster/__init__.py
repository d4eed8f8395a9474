"""Several processes on one PostgreSQL: which of them leads, and how the others wait."""
