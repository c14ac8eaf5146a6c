"""Check an account: are address, region and keys right, by one request to each API.

Track API: the region of the account (`GET /api/v1/accounts/region` of its reference), which answers
at the hosts of both regions. App API: the list of transactional messages.
"""

from collections.abc import Iterator

import orjson

from walker_collector import WalkerError
from walker_dest_customerio.clients import Clients
from walker_dest_customerio.settings import Settings

REGION = "/api/v1/accounts/region"
MESSAGES = "/v1/transactional"


def account_problems(clients: Clients, settings: Settings) -> Iterator[str]:
    """Yield the problems of the Track API, and those of the App API if there is a key for it."""
    try:
        region = clients.track.ask(REGION)
    except WalkerError as error:
        yield str(error)
    else:
        yield from _region_problem(region, settings)
    if clients.app is not None:
        try:
            clients.app.ask(MESSAGES)
        except WalkerError as error:
            yield str(error)


def _region_problem(body: bytes, settings: Settings) -> Iterator[str]:
    """Yield the problem if an answer names another region than the settings."""
    found = orjson.loads(body).get("data_center")
    # At another host than Customer.io's own, `region` chooses nothing.
    if not settings.track_url and found in ("us", "eu") and found != settings.region:
        yield (
            f"Track API: the account is in region {found!r}, and settings.region is "
            f"{settings.region!r}; set it to {found!r}"
        )
