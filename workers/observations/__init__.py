"""Raw observations to windows: one definition, whatever they come by."""
