"""Find out what can be tapped in a model (`undertow taps`)."""
