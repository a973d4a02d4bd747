"""Checkpoints and descriptions of models, read once."""
