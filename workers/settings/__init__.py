"""The settings: their sections, where values come from, and how they are validated."""
