"""The command line, `walker`: a module per command, and modules that they share."""

from walker_collector.cli.root import main

__all__ = ["main"]
