"""What Socket.IO servers, emitters and managers of others say over Redis, and what of it passes."""
