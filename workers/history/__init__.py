"""Readers of the offline log: point-in-time joins, and restoring an online store."""
