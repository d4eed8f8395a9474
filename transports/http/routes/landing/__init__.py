"""What becomes of a session's changes: commits, pushes, pull requests, merges, and the worktree at last."""
