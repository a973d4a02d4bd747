"""Pack a trained checkpoint once, load it safely for ever."""
