"""Backfills: history embedded by Ray Data, with the embedder of the stream."""
