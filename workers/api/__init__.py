"""What stands behind the names of `import undertow`."""
