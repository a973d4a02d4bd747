"""Pack a trained checkpoint into an artifact once; load artifacts safely."""
