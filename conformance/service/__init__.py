"""The kit for services: the kit is a client, and checks what a client may rely on at REST, Socket.IO and /ws."""
