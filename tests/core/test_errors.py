"""Errors are told on lines that can be counted."""

from walker_collector.errors import ConfigError, Problem


def test_problem_is_one_line() -> None:
    problem = Problem("destinations.crm", "cannot be imported:\nno such module")
    assert str(problem) == "destinations.crm: cannot be imported: no such module"
    assert str(ConfigError([problem, problem], "flow.json")).count("\n") == 2
