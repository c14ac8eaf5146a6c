"""The sandbox's own certificate authority, created at each start."""

import ssl
from pathlib import Path

import trustme


def server_context(hosts: list[str], ca_file: Path) -> ssl.SSLContext:
    """Return a TLS context for `hosts`, and write the PEM that clients must trust to `ca_file`."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*hosts).configure_cert(context)
    authority.cert_pem.write_to_path(ca_file)
    return context
