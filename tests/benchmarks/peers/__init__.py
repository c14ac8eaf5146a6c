"""Others that do the same, measured in the same run."""
