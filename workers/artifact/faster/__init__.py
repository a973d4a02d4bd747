"""Faster ways to compute the same: rewrites of modules that are slow in eager mode, and branches that never run."""
