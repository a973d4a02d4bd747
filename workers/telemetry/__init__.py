"""What a process tells: log lines, events, traces, and the terminal."""
