"""The picture of a space: rows of the offline log or of any Parquet, projected, coloured and drawn."""
