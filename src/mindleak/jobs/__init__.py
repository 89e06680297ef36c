"""One module per command: composes the rooms below, owns no algorithm."""
