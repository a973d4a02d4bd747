"""The offline log, read: point-in-time joins, and an online store filled again."""
