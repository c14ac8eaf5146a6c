"""What is built or installed for tests, once for all processes that test."""

import fcntl
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")
SKIP = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist")
PUBLISHED = {"walker_collector", "walker_dest_customerio"}


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program that must succeed; return what it prints."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy_of_source(folder: Path) -> Path:
    """Copy what is packaged: building leaves folders behind."""
    folder.mkdir(parents=True)
    for name in ("walker_collector", "walker_dest_customerio", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=SKIP)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def build(folder: Path) -> None:
    """Build all wheels into a folder, by way of source distributions for what is published."""
    source = copy_of_source(folder / "source")
    for project in (source, source / "walker_dest_customerio"):
        run(
            sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, project, cwd=folder
        )
    examples = sorted((source / "examples").glob("walker-*"))
    wheel = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    run(*PIP, *wheel, *examples, cwd=folder)


def once_for_all(folder: Path, make: Callable[[Path], object]) -> Path:
    """Return a folder that processes share; the first of them makes what is in it."""
    folder.mkdir(exist_ok=True)
    with _locked(folder / "lock"):
        made = folder / "made"
        if not made.exists():
            make(folder)
            made.touch()
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go when the file is closed
        yield


class Environment:
    """A virtualenv that holds nothing at first; the pip that runs the tests installs into it."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder)
        self.programs = folder / "bin"

    def pip(self, *arguments: str | Path) -> None:
        """Run pip in this environment."""
        python = self.programs / "python"
        run(PIP[0], *PIP[1:3], "--python", python, *PIP[3:], *arguments, cwd=self.programs)

    def install(self, *what: str | Path) -> None:
        """Install from files, folders or the package index, with all dependencies."""
        self.pip("install", *what)
