"""The AsyncAPI document of the three WebSocket wires, made from the classes that decode and encode them."""
