"""The composition root: from settings to recipes, and from recipes to running parts."""
