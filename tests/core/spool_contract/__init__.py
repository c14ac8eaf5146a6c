"""The contract of a durable spool: what the collector relies on, whatever the engine.

An engine takes part with an entry in `ENGINES` (engines.py).
"""
