"""What can be tapped in a model."""
