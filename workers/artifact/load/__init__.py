"""From an artifact to a model that embeds."""
