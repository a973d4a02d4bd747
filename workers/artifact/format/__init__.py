"""The content of an artifact except for its weights: plain data and its JSON."""
