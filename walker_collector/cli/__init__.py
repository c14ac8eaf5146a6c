"""The command line, `walker`: a module per command, and what they share."""

from walker_collector.cli.root import main

__all__ = ["main"]
