"""The inspector: a look into a collector that is at work."""
