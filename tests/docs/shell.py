"""A person at a shell, who types what a page says: one shell per page, in an empty folder.

The environment is a virtualenv of its own, which holds only what the page installs.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import venv
from collections.abc import Iterable
from pathlib import Path

from attrs import Factory, define, field

from tests.docs.pages import Block, Row
from tests.docs.runner import assert_like
from tests.support import end

PATIENCE = 120.0
"""Seconds for one command, and until a program that stays has printed what is shown."""

_PORT = re.compile(r"\b8[04]\d\d\b")
"""What pages have for ports; other tests may be using them just now."""


def make_environment(folder: Path, wheels: Path) -> dict[str, str]:
    """Make a virtualenv that holds nothing; return the variables that lead to it.

    Its `pip` is that of the tests, which is quicker than one of its own, and installs from a folder
    of wheels.
    """
    venv.create(folder)
    programs = folder / "bin"
    pip = programs / "pip"
    options = "--quiet --disable-pip-version-check --no-input"
    pip.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m pip --python "{programs}/python" {options} "$@"\n'
    )
    pip.chmod(0o755)
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(folder),
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_INDEX": "1",
        "PIP_NO_COMPILE": "0",  # pip reads "0" as: do not compile; most modules are never imported
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }


@define(eq=False)
class Program:
    """A shell, or a program that stays: what it prints is kept."""

    process: subprocess.Popen[str]
    printed: str = ""
    _more: threading.Condition = Factory(threading.Condition)
    _reader: threading.Thread = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.printed += line
                self._more.notify_all()
        with self._more:
            self.printed += "\0"  # the end
            self._more.notify_all()

    def wait_for(self, pattern: str) -> str:
        """Return what was printed up to a match, and forget it; fail at the end, or in time."""
        with self._more:
            self._more.wait_for(
                lambda: re.search(pattern, self.printed) or self.printed.endswith("\0"), PATIENCE
            )
            found = re.search(pattern, self.printed)
            assert found, f"did not print {pattern}, but:\n{self.printed}"
            before, self.printed = self.printed[: found.start()], self.printed[found.end() :]
        return before

    def close(self) -> None:
        """End it and all that it started."""
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(2)
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # all of them have ended
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
        self._reader.join(5)
        end(self.process)


class Shell:
    """Does what the blocks of a page say, one after the other.

    A block with a file name is written; `console` is typed, and what is printed compared with what
    is shown; `console stays` is typed into a shell of its own, whose program goes on when it has
    printed what is shown.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._ports: dict[str, str] = {}
        self._stays: list[Program] = []
        self._shell = self._start("bash", "--noprofile", "--norc")

    def follow(self, parts: Iterable[Block | Row]) -> None:
        """Do all that a page says; an error tells the line."""
        for part in parts:
            if not isinstance(part, Block):
                continue
            try:
                self._take(part, self._with_free_ports(part.text))
            except AssertionError as error:
                error.add_note(f"line {part.line} of the page")
                raise

    def close(self) -> None:
        """End the shell and what stays."""
        for program in [self._shell, *self._stays]:
            program.close()

    def _take(self, block: Block, text: str) -> None:
        if "." in block.word:
            path = self._folder / block.word
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        elif (block.language, block.word) == ("console", ""):
            for command, shown in commands(text):
                self._compare(command, self.type(command), shown)
        elif (block.language, block.word) == ("console", "stays"):
            self._stay(text)
        else:
            assert not block.word, f"nobody knows what a block `{block.word}` is"

    @staticmethod
    def _compare(command: str, printed: str, shown: str) -> None:
        try:
            assert_like(printed, shown)
        except AssertionError as error:
            error.add_note(f"$ {command}\n{printed}")
            raise

    def type(self, command: str) -> str:
        """Run a command in the shell; return what it prints."""
        assert self._shell.process.stdin is not None
        # Braces keep `cd` and `export` in this shell, and standard input away from the command.
        self._shell.process.stdin.write(f"{{\n{command}\n}} </dev/null\necho '=== done'\n")
        self._shell.process.stdin.flush()
        return self._shell.wait_for(r"=== done\n")

    def _stay(self, text: str) -> None:
        ((command, shown),) = commands(text)
        program = self._start("bash", "--noprofile", "--norc", "-c", f"exec {command}")
        self._stays.append(program)
        lines = [line for line in shown.splitlines() if line.strip() and line.strip() != "..."]
        for line in lines:
            program.wait_for(re.escape(line.strip()).replace(re.escape("..."), ".*"))

    def _start(self, *command: str) -> Program:
        return Program(
            subprocess.Popen(  # bounded: ended by `close`
                command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )

    def _with_free_ports(self, text: str) -> str:
        return _PORT.sub(lambda match: self._free_port(match[0]), text)

    def _free_port(self, port: str) -> str:
        if port not in self._ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self._ports[port] = str(probe.getsockname()[1])
        return self._ports[port]


def commands(text: str) -> list[tuple[str, str]]:
    """Return the commands behind `$ `, each with what is shown below."""
    found = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        found.append((command, shown))
    return found
