"""A PostgreSQL server of the tests' own, on a free port of this machine."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from typing import Final, Self

from tests.services import missing

SUPERUSER: Final = "keeper"
PASSWORD: Final = "keeper-password"
_SETTINGS: Final = {
    "fsync": "off",
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "16MB",
    "max_wal_size": "64MB",
}


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None where there are none."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


def required_server() -> "PostgresServer":
    """Return a server, to be started; where PostgreSQL is not installed, skip the test."""
    return PostgresServer(_required_programs())


def required_standby(primary: "PostgresServer") -> "Standby":
    """Return a server that follows another one as it is started."""
    return Standby(_required_programs(), primary)


def _required_programs() -> Path:
    found = programs()
    if found is None:
        missing("PostgreSQL's initdb and pg_ctl are not installed (Debian: postgresql)")
    return found


class PostgresServer:
    """Made, started and removed within a `with` block; it may be stopped and started in between.

    `settings` are the server's own, in place of those that tests are quick and small with.
    """

    def __init__(self, folder_of_programs: Path, **settings: str) -> None:
        self._programs = folder_of_programs
        self._settings = {**_SETTINGS, **settings}
        self._folder = Path(tempfile.mkdtemp(prefix="walker-postgres-"))
        # The server refuses to run as root, as tests in containers do.
        self._user = _unprivileged() if os.geteuid() == 0 else None
        self.port = _free_port()
        self._schemas = count(1)

    def __enter__(self) -> Self:
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._make()
        self.start()
        return self

    def _make(self) -> None:
        password = self._folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run(
            "initdb",
            "--auth=scram-sha-256",
            f"--username={SUPERUSER}",
            f"--pwfile={password}",
            "--encoding=UTF8",
            "--no-sync",
            "--no-instructions",
        )

    def __exit__(self, *_: object) -> None:
        self.stop("immediate")  # nothing of it is kept
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start the server; returns when it takes connections."""
        settings = {
            **self._settings,
            "port": str(self.port),
            "unix_socket_directories": self._folder,
        }
        options = " ".join(f"-c {key}={value}" for key, value in settings.items())
        log = self._folder / "log"
        self._run("pg_ctl", "start", "--wait", "--silent", f"--log={log}", f"--options={options}")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server at once, with every connection."""
        self._run("pg_ctl", "stop", f"--mode={mode}", "--silent")

    def url(self, database: str, user: str = SUPERUSER, password: str = PASSWORD) -> str:
        """Return where a database is, and as whom."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def new_schema(self) -> str:
        """Return the name of a schema that nobody has used, in whichever database."""
        return f"walker{next(self._schemas)}"

    def _run(self, program: str, *options: str) -> None:
        data = self._folder / "data"
        subprocess.run(
            [str(self._programs / program), *options, f"--pgdata={data}"],
            user=self._user,
            cwd=self._folder,
            timeout=60,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )


class Standby(PostgresServer):
    """A server that follows another one, until it is promoted."""

    def __init__(self, folder_of_programs: Path, primary: PostgresServer) -> None:
        super().__init__(folder_of_programs)
        self._primary = primary

    def _make(self) -> None:
        self._run(
            "pg_basebackup",
            f"--dbname={self._primary.url('postgres')}",
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-sync",
        )

    def promote(self) -> None:
        """Make it a server that takes writes."""
        self._run("pg_ctl", "promote", "--wait", "--silent")


def _unprivileged() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        port: int = once.getsockname()[1]
    return port
