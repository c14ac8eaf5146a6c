"""Programs that start processes of their own, such as servers with workers."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen

from tests.support import ROOT, program


@contextmanager
def family(command: Sequence[str], log: Path, **variables: object) -> Iterator["Popen[str]"]:
    """Run a module of Python, which logs to a file; none of its processes outlives the block.

    A failure of the block has the end of the log as a note.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment |= {name: str(value) for name, value in variables.items()}
    with (
        log.open("w") as out,
        program(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        except BaseException as error:
            error.add_note(log.read_text("utf-8")[-5_000:])
            raise
        finally:
            with suppress(ProcessLookupError):  # all of them have ended
                os.killpg(process.pid, signal.SIGKILL)
