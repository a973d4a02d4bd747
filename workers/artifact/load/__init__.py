"""Load an artifact: from its folder to an embedder."""
