"""The content of an artifact beside its weights."""
