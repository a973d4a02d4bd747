"""The proof of what an artifact promises."""
