"""The demonstration: one real job on real data, from training to lookup."""
