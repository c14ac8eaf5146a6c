"""An extension for walker-collector: removes email addresses from outgoing events."""
