"""What an artifact holds beside its weights."""
