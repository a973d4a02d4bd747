"""The data types: records, windows and embeddings, as columnar batches and in their wire formats."""
