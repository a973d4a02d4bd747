"""What the data looks like: records, windows, embeddings, their wire formats and columnar batches."""
