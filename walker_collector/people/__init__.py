"""People: the keys that are one person, their consent, the gate, and their erasure."""
