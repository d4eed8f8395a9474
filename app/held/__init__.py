"""What people do together: decisions that wait for their release, and who is there."""
