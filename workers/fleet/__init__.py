"""Ray actors that run the stream: replicas and their controller."""
