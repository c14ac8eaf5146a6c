"""`python -m walker_collector`: the command line."""

from walker_collector.cli import main

main(prog_name="walker")
