"""The settings: their sections, where they come from, and what they may hold."""
