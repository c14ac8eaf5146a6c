"""TLS: the certificate that the server shows."""

import asyncio
import os
import ssl
from collections.abc import Callable
from typing import Final

from walker_collector.errors import PluginError
from walker_collector.sources.http.settings import Settings
from walker_collector.validators import may_be_path, no_such_file

_LOOK: Final = 10.0
"""Seconds between two looks whether the files have changed."""


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """Return the context of a server with a certificate; None without.

    Raises PluginError for files that cannot be used.
    """
    if settings.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # An empty password: a key that needs one is refused, and nobody is asked for it.
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except (OSError, ValueError) as error:
        raise PluginError(
            f"{_unreadable(settings) or f'the certificate cannot be used: {_reason(error)}'}"
            " (settings.tlsCert, settings.tlsKey)"
        ) from None
    return context


async def follow_files(
    context: ssl.SSLContext, settings: Settings, warn: Callable[[str], object]
) -> None:
    """Take a certificate into force when its files change; ends when it is cancelled.

    One that cannot be used is told by `warn`, and leaves the other in force.
    """
    seen = _stamps(settings)
    while True:
        await asyncio.sleep(_LOOK)
        found = _stamps(settings)
        if found == seen:
            continue
        seen = found
        try:
            tls_of(settings)  # whose files do not fit would break the context
            context.load_cert_chain(settings.tls_cert or "", settings.tls_key, password="")
        except (OSError, PluginError) as error:
            warn(f"the certificate stays as it was: {error}")


def _stamps(settings: Settings) -> list[tuple[int, int]]:
    """Return the inode and the time of the files, as far as they are there."""
    stamps = []
    for path in filter(None, (settings.tls_cert, settings.tls_key)):
        try:
            status = os.stat(path)
        except OSError:
            continue
        stamps.append((status.st_ino, status.st_mtime_ns))
    return stamps


def _unreadable(settings: Settings) -> str:
    """Return which file cannot be read, and why; "" if both can."""
    for path in filter(None, (settings.tls_cert, settings.tls_key)):
        if not (may_be_path(path) or os.path.exists(path)):
            return no_such_file(path)
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            return f"{path}: {error.strerror}"
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return "the key is that of another certificate"
    return "these are not a certificate and its key, without a password, in PEM"
