"""Clips that people show to others, and the names that they give to houses."""
