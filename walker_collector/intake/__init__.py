"""The one way in for every event: read, complete, encode, identify, gate, store."""
