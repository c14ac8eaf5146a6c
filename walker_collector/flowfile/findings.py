"""What is found while a flow is read: problems and warnings, gathered to be told together."""

from collections.abc import Iterable
from typing import TypeVar

from attrs import Factory, define

from walker_collector.errors import ConfigError, Problem

T = TypeVar("T")


@define
class Findings:
    """Every problem and warning so far."""

    problems: list[Problem] = Factory(list)
    warnings: list[str] = Factory(list)

    def add(self, path: str, message: str) -> None:
        """Record one problem."""
        self.problems.append(Problem(path, message))

    def take(self, result: tuple[T, Iterable[Problem]]) -> T:
        """Return a step's value and keep its problems."""
        value, problems = result
        self.problems.extend(problems)
        return value

    def raise_for(self, source: str) -> None:
        """Raise `ConfigError` if there are problems: one for each place, the first found."""
        if self.problems:
            first = {problem.path: problem for problem in reversed(self.problems)}
            kept = [problem for problem in self.problems if first[problem.path] is problem]
            raise ConfigError(kept, source)
