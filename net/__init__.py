"""Building blocks for talking to other machines, for every room that does."""
