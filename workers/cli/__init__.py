"""The command line: one file a command, which parses, builds the settings and calls one function."""
