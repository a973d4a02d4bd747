"""Readers of the offline log: point-in-time joins, and filling a lost online store."""
