"""The entries of the experiments, one file a world. Quick to import: no torch here."""
