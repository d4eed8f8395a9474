"""Things people do together: decisions that wait for their release, and presence."""
