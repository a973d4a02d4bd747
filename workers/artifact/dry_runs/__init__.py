"""What a model does with windows made up, told from its shapes."""
