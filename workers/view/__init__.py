"""Pictures of a space: projections of embeddings that a person can look at."""
