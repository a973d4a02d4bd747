"""The loop of one replica, and the ports by which it reaches the outside."""
