"""What the commands do, apart from those that have a room of their own."""
