"""Problems and warnings of a flow, collected while it is read and reported together."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from attrs import Factory, define

from walker_collector.errors import ConfigError, Problem
from walker_collector.flow.types import structure, structure_or_raise
from walker_collector.naming import join

T = TypeVar("T")


@define
class Diagnostics:
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

    def forgive(self, path: str) -> None:
        """Turn the problems of a place into warnings, because that place is left out."""
        left = [problem for problem in self.problems if problem.path == path]
        self.problems = [problem for problem in self.problems if problem.path != path]
        self.warnings += [f"{path}: {problem.message}; it is left out" for problem in left]

    def read(self, raw: Any, cls: type[T], path: str = "") -> T:
        """Build `cls` without the fields that have problems, and report these; all are optional."""
        result, problems = structure(raw, cls, path)
        self.problems.extend(problems)
        if result is not None:
            return result
        broken = outer_places(problem.path for problem in problems)
        sound = {
            key: value
            for key, value in (raw.items() if isinstance(raw, Mapping) else ())
            if join(path, key) not in broken
        }
        return structure_or_raise(sound, cls)

    def raise_for(self, source: str) -> None:
        """Raise `ConfigError` if there are problems, with the first one of each place."""
        if self.problems:
            first = {problem.path: problem for problem in reversed(self.problems)}
            kept = [problem for problem in self.problems if first[problem.path] is problem]
            raise ConfigError(kept, source)


def outer_places(paths: Iterable[str]) -> set[str]:
    """Return the paths, and every place that one of them lies in."""
    return {
        path[:end]
        for path in paths
        for end in (*(at for at, char in enumerate(path) if char in ".["), len(path))
    }
