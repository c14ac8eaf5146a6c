"""The web application of `examples/web_app`, started as its readme says."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.examples.support import EXAMPLES, PROGRAMS, read
from tests.support import LIFETIME, end
from walker_dest_customerio.sandbox import Sandbox

FOLDER = EXAMPLES / "web_app"


class Shop:
    """The running application; `close` ends it as Ctrl-C does."""

    def __init__(self, sandbox: Sandbox, output: Path) -> None:
        self.process = subprocess.Popen(  # bounded: by the watch below
            [PROGRAMS / "flask", "--app", "app", "run", "--port", "0"],
            cwd=FOLDER,
            env={
                **os.environ,
                "CIO_SITE_ID": sandbox.site_id,
                "CIO_API_KEY": sandbox.api_key,
                "CIO_TRACK_URL": sandbox.track_url,
                "CIO_CA_FILE": sandbox.ca_file,
                "SHOP_OUTPUT": str(output),
                "PYTHONUNBUFFERED": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._watch = threading.Timer(LIFETIME, self.process.kill)
        self._watch.start()
        self.log: list[str] = []
        self.url = self._address()

    def _address(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line)
            if found := re.search(r"Running on (http://\S+)", line):
                return found[1]
        raise AssertionError("".join(self.log))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            output, _ = self.process.communicate(timeout=20)
            self.log.append(output)
        finally:
            self._watch.cancel()
            end(self.process)


class Visitor:
    """A browser: keeps its cookies."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.session = requests.Session()
        self.get("/")

    def get(self, path: str) -> requests.Response:
        return self._checked(self.session.get(self.shop.url + path, timeout=10))

    def post(self, path: str, **form: str) -> requests.Response:
        return self._checked(self.session.post(self.shop.url + path, form, timeout=10))

    @staticmethod
    def _checked(response: requests.Response) -> requests.Response:
        response.raise_for_status()
        return response

    def sign_in(self, name: str) -> None:
        self.post("/login", id=name, email=f"{name}@post.example")


@pytest.fixture
def shop(sandbox: Sandbox, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(sandbox, tmp_path)
    try:
        yield shop
    finally:
        shop.close()


def events_of(sandbox: Sandbox, person: str) -> list[str]:
    return [event["name"] for event in sandbox.people[person]["events"] if event["type"] == "event"]


def test_visitor_who_agrees_is_followed_and_another_is_not(shop: Shop, sandbox: Sandbox) -> None:
    amara, hana = Visitor(shop), Visitor(shop)
    for visitor, name in ((amara, "amara"), (hana, "hana")):
        visitor.sign_in(name)
        visitor.post("/cart", sku="OOL-100")
    amara.post("/consent", marketing="yes")
    hana.post("/consent", marketing="no")
    for visitor in (amara, hana):
        visitor.post("/orders")
    shop.close()
    assert list(sandbox.people) == ["amara"]
    assert events_of(sandbox, "amara") == ["Added to Cart", "Order Completed"]
    assert sandbox.people["amara"]["email"] == "amara@post.example"


def test_order_arrives_with_its_teas(shop: Shop, sandbox: Sandbox) -> None:
    visitor = Visitor(shop)
    visitor.sign_in("bjorn")
    visitor.post("/consent", marketing="yes")
    visitor.post("/cart", sku="SEN-050")
    visitor.post("/cart", sku="ASM-250")
    visitor.post("/orders")
    shop.close()
    (order,) = [event for event in sandbox.events if event["name"] == "Order Completed"]
    assert order["data"]["teas"] == ["Spring Sencha", "Strong Assam"]
    assert order["data"]["total"] == pytest.approx(20.8)


def test_archive_has_every_event_without_the_email(shop: Shop, tmp_path: Path) -> None:
    visitor = Visitor(shop)
    visitor.sign_in("chiara")
    shop.close()
    archive = read(tmp_path / "events.ndjson")
    assert [event["name"] for event in archive] == ["page view", "user login", "page view"]
    assert {key for event in archive for key in event["user"]} == {"session", "id"}


def test_account_that_is_closed_is_deleted_and_forgotten(shop: Shop, sandbox: Sandbox) -> None:
    visitor = Visitor(shop)
    visitor.sign_in("dmitri")
    visitor.post("/consent", marketing="yes")
    sandbox.wait_for_requests(1)
    assert list(sandbox.people) == ["dmitri"]
    visitor.post("/account/erase")
    assert list(sandbox.people) == []
    assert shop.process.poll() is None
