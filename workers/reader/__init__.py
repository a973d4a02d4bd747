"""Read features online: the newest vectors, as arrays, of the space that is promoted."""
