"""The events that are measured with: a shop's, the same at every run.

`orders` are what a server sends after a purchase, with one to five nested items; `mix` is what a
site sends all day. The people are 1,000 unless said otherwise, as their number decides what
caches are worth.
"""

import random
from collections.abc import Iterator
from typing import Any, Final

Event = dict[str, Any]

SEED: Final = 20_260_101
PEOPLE: Final = 1_000
_START: Final = 1_767_225_600_000
_COLOURS: Final = ("black", "white", "red", "green", "blue")
_STAGES: Final = ("landing", "browse", "checkout", "account")


def orders(count: int, *, people: int = PEOPLE, items: int | None = None) -> list[Event]:
    """Return orders, each with one to five nested products, or as many as `items` says."""
    source = random.Random(SEED)
    return [_order(source, at, people, items or source.randint(1, 5)) for at in range(count)]


def mix(count: int, *, people: int = PEOPLE) -> list[Event]:
    """Return page views, product views, carts, logins and a few orders."""
    source = random.Random(SEED)
    kinds = source.choices((_page, _product, _cart, _login, _purchase), (50, 30, 12, 5, 3), k=count)
    return [kind(source, at, people) for at, kind in enumerate(kinds)]


def repeated(events: list[Event], count: int) -> Iterator[Event]:
    """Yield `count` events, from the beginning again where there are fewer."""
    for at in range(count):
        yield events[at % len(events)]


def _order(source: random.Random, at: int, people: int, items: int) -> Event:
    nested = [_item(source) for _ in range(items)]
    total = sum(item["data"]["price"] * item["data"]["quantity"] for item in nested)
    data = {
        "id": f"o{at:07d}",
        "total": round(total, 2),
        "currency": "EUR",
        "shipping": {"method": "parcel", "price": 4.9, "city": "Hamburg"},
        "coupon": source.choice((None, "WELCOME10")),
    }
    return {**_event(source, at, people, "order complete", "checkout", data), "nested": nested}


def _purchase(source: random.Random, at: int, people: int) -> Event:
    return _order(source, at, people, source.randint(1, 5))


def _page(source: random.Random, at: int, people: int) -> Event:
    path = f"/c/{source.randrange(200)}"
    data = {"id": path, "title": f"Category {path}", "referrer": "https://www.example.com/"}
    return _event(source, at, people, "page view", "landing", data)


def _product(source: random.Random, at: int, people: int) -> Event:
    return _event(source, at, people, "product view", "browse", _item(source)["data"])


def _cart(source: random.Random, at: int, people: int) -> Event:
    data = {"value": round(source.uniform(5, 300), 2), "currency": "EUR"}
    nested = [_item(source) for _ in range(source.randint(1, 3))]
    return {**_event(source, at, people, "cart add", "checkout", data), "nested": nested}


def _login(source: random.Random, at: int, people: int) -> Event:
    return _event(source, at, people, "user login", "account", {"method": "password"})


def _item(source: random.Random) -> Event:
    number = source.randrange(5_000)
    data = {
        "id": f"sku-{number}",
        "name": f"Everyday product number {number}",
        "price": round(source.uniform(1, 200), 2),
        "quantity": source.randint(1, 3),
        "color": source.choice(_COLOURS),
    }
    return {"entity": "product", "data": data}


def _event(
    source: random.Random, at: int, people: int, name: str, stage: str, data: Event
) -> Event:
    person = source.randrange(people)
    return {
        "name": name,
        "data": data,
        "context": {"stage": [stage, _STAGES.index(stage)]},
        "globals": {"language": "de", "pagegroup": "shop"},
        "user": {"id": f"u{person}", "session": f"s{person}", "email": f"u{person}@example.com"},
        "timestamp": _START + at * 37,
    }
