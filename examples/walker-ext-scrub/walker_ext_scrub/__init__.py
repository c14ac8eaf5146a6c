"""An extension for walker-collector: email addresses are scrubbed from what leaves."""
