"""Dry runs of a model with synthetic windows, to learn from its shapes."""
