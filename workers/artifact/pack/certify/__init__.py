"""Certify an artifact: measure, before it is written, that it does what is promised."""
