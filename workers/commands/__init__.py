"""The work of the commands that have no room of their own."""
