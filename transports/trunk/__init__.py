"""One connection between two processes that carries many clients: what all of them are told goes over it once."""
