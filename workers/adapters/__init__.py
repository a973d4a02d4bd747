"""One file per outside system; adapters do not know each other."""
