"""Taps, pooling, exact inputs and the embedder: numpy, arrow and torch, no vendor."""
