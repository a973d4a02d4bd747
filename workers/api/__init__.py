"""The implementation of `import undertow`."""
