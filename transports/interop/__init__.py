"""Messages of others' Socket.IO servers, emitters and managers over Redis, and which of them pass."""
