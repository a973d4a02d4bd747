"""Read trained models: Lightning checkpoints, and TOML descriptions of plain modules."""
