"""The command line: one file for each command, which parses, builds the settings and calls one function."""
