"""People around a session: decisions that can be taken back, the keyboard, who is there."""
