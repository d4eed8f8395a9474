"""What people show to others, and how they call it."""
