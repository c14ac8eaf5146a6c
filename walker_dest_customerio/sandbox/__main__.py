"""`python -m walker_dest_customerio.sandbox`: a local Customer.io until Ctrl-C."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from walker_dest_customerio.sandbox.background import Sandbox

PROGRAM = "python -m walker_dest_customerio.sandbox"
EXAMPLES = f"""\
examples:
  {PROGRAM} --port 8443
  {PROGRAM} --port 8443 --ca-file ca.pem --latency 50
  curl --cacert ca.pem https://127.0.0.1:8443/sandbox/state
  curl --cacert ca.pem https://127.0.0.1:8443/sandbox/faults \\
       -d '[{{"kind": "status", "status": 503, "retry_after": 1, "times": 3}}]'

A flow with "trackUrl", "apiUrl" and "caFile" set from the printed variables sends here. For other
clients, trust the CA file: curl --cacert, REQUESTS_CA_BUNDLE, SSL_CERT_FILE.
"""
MISSING = """\
The sandbox needs {name}, which is not installed. Install the extra:
  pip install 'walker-dest-customerio[sandbox]'"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(
        prog=PROGRAM,
        description="A local Customer.io: Track API v1 and v2 and the transactional App API, over "
        "HTTPS, with the documented limits and errors, readable state, and faults on demand.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add("--port", type=_port, default=8443, help="0: any free port (default: %(default)s)")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--site-id", default="sandbox-site", help="default: %(default)s")
    add("--api-key", default="sandbox-api-key", help="default: %(default)s")
    add("--app-api-key", default="sandbox-app-api-key", help="default: %(default)s")
    add("--ca-file", metavar="PATH", help="file for the CA certificate (default: a temporary one)")
    add("--latency", type=_ms, default=0, metavar="MS", help="delay of every API response, in ms")
    add(
        "--allow-email-change",
        action="store_true",
        help="allow updates to an email that is set, using the id (a workspace setting)",
    )
    add("--json", action="store_true", help="print one JSON object instead of text")
    return result


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _ms(text: str) -> float:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("a latency is a whole number of milliseconds")
    return float(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM. Returns 0, or 1 if it cannot start."""
    options = parser().parse_args(arguments)
    try:
        from walker_dest_customerio.sandbox.background import Sandbox
    except ModuleNotFoundError as error:
        print(MISSING.format(name=error.name), file=sys.stderr)
        return 1
    sandbox = Sandbox(
        host=options.host,
        port=options.port,
        site_id=options.site_id,
        api_key=options.api_key,
        app_api_key=options.app_api_key,
        ca_file=options.ca_file,
        latency_ms=options.latency,
        allow_email_change=options.allow_email_change,
    )
    stop = _on_signal()
    try:
        sandbox.start()
    except OSError as error:
        print(f"sandbox: cannot start on {options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    try:
        print(_json(sandbox) if options.json else _text(sandbox), flush=True)
        stop.wait()
    finally:
        sandbox.close()
    return 0


def _on_signal() -> threading.Event:
    """Return an event that Ctrl-C and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _json(sandbox: "Sandbox") -> str:
    content = {
        **sandbox.settings(),
        "stateUrl": sandbox.state_url,
        "environment": sandbox.environment(),
    }
    return json.dumps(content)


def _text(sandbox: "Sandbox") -> str:
    variables = sandbox.environment().items()
    exports = "\n".join(f"export {name}={quote(value)}" for name, value in variables)
    return f"""\
A local Customer.io is running. Ctrl-C ends it.

  Track API    {sandbox.track_url}
  App API      {sandbox.api_url}
  state        {sandbox.state_url}
  CA file      {sandbox.ca_file}
  site id      {sandbox.site_id}
  API key      {sandbox.api_key}
  App API key  {sandbox.app_api_key}

{exports}
"""


if __name__ == "__main__":
    sys.exit(main())
