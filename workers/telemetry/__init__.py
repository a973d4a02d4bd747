"""Telemetry of a process: log lines, events, traces, and the terminal."""
