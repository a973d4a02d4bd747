"""The data types: records, windows, embeddings, their wire formats and columnar batches."""
