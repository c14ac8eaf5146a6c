"""Writes `events.ndjson`: three invented days of a tea shop, the same at every run.

python make_events.py > events.ndjson
"""

import json
import sys
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, TypeAlias

Json = dict[str, Any]

SEED = 20260302
OPENING = 1_772_438_400_000  # 2026-03-02 08:00 UTC, in ms
DAY = 86_400_000
SITE = "https://kettle-and-leaf.example"

TEAS = (
    ("OOL-100", "Mountain Oolong", 14.5),
    ("SEN-050", "Spring Sencha", 11.0),
    ("ASM-250", "Strong Assam", 9.8),
    ("MIN-080", "Garden Mint", 6.4),
    ("ROO-200", "Vanilla Rooibos", 8.2),
    ("POT-001", "Clay Teapot", 39.0),
)

# id, first name, role beside shopping
PEOPLE = (
    ("amara", "Amara", "app"),
    ("bjorn", "Björn", "app"),
    ("chiara", "Chiara", "consents late"),
    ("dmitri", "Dmitri", "consents late"),
    ("eun-ji", "Eun-ji", "app"),
    ("fatima", "Fatima", ""),
    ("goran", "Goran", ""),
    ("hana", "Hana", "refuses"),
    ("ivo", "Ivo", "never says"),
    ("jamila", "Jamila", ""),
    ("kofi", "Kofi", "opts out"),
    ("lotte", "Lotte", "closes account"),
)


Step: TypeAlias = "Callable[[Visit], Iterator[Json]]"


class Visit:
    """One visit of one person: their identity so far, and the present time."""

    def __init__(self, random: Random, person: tuple[str, str, str], number: int, at: int) -> None:
        self.random = random
        self.id, self.first_name, self.role = person
        self.session = f"s-{random.randrange(16**8):08x}"
        self.number = number
        self.at = at
        self.user: Json = {"session": self.session}

    def event(self, name: str, data: Json | None = None, **parts: Any) -> Json:
        """Return an event, some seconds after the previous one."""
        self.at += self.random.randrange(4_000, 90_000)
        made = {"name": name, "data": data or {}, "user": dict(self.user), "timestamp": self.at}
        return {**made, **parts}

    def says(self, granted: bool) -> Json:
        return {
            "name": "walker consent",
            "data": {"marketing": granted},
            "user": {"session": self.session},
        }


def look_around(visit: Visit) -> Iterator[Json]:
    yield visit.event("page view", {"url": f"{SITE}/", "title": "Kettle & Leaf"})
    for sku, name, price in visit.random.sample(TEAS, visit.random.randrange(1, 4)):
        yield visit.event("page view", {"url": f"{SITE}/teas/{sku.lower()}", "title": name})
        yield visit.event("product view", {"sku": sku, "name": name, "price": price})


def sign_in(visit: Visit) -> Iterator[Json]:
    visit.user |= {"id": visit.id, "email": f"{visit.id}@post.example"}
    action = "register" if visit.number == 1 else "login"
    yield visit.event(f"user {action}", {"first_name": visit.first_name})


def use_the_app(visit: Visit) -> Iterator[Json]:
    platform = "ios" if len(visit.id) % 2 else "android"
    device = {"token": f"token-{visit.id}-{min(visit.number, 2)}", "platform": platform}
    yield visit.event("device register", {**device, "model": "Pocket 4"})
    if visit.number == 3:
        yield visit.event("device remove", {"token": f"token-{visit.id}-1", "platform": platform})


def fill_the_cart(visit: Visit) -> Iterator[Json]:
    """Add teas, remove one of many, and buy the rest, two times out of three."""
    cart = [
        {"sku": sku, "name": name, "price": price, "quantity": visit.random.randrange(1, 4)}
        for sku, name, price in visit.random.sample(TEAS, visit.random.randrange(1, 4))
    ]
    for item in cart:
        yield visit.event("cart add", item)
    if len(cart) > 2:
        yield visit.event("cart remove", cart.pop())
    if visit.random.random() < 0.67 and visit.role not in ("opts out", "closes account"):
        yield buy(visit, cart)


def buy(visit: Visit, cart: list[Json]) -> Json:
    total = round(sum(item["price"] * item["quantity"] for item in cart) + 3.9, 2)
    number = f"K{visit.random.randrange(10_000, 99_999)}"
    nested = [{"entity": "item", "data": item} for item in cart]
    data = {"number": number, "total": total, "shipping": {"price": 3.9, "method": "parcel"}}
    return visit.event("order complete", data, nested=nested)


def decide_on_consent(visit: Visit) -> Iterator[Json]:
    """Answer the cookie banner, or not: most people agree at their first visit."""
    late, silent = visit.role == "consents late", visit.role == "never says"
    if not silent and visit.number == (3 if late else 1):
        yield visit.says(visit.role != "refuses")


def take_leave(visit: Visit) -> Iterator[Json]:
    if visit.role == "opts out":
        yield visit.event("privacy optout")
    elif visit.role == "closes account":
        yield visit.event("account close")


def visits(random: Random) -> list[list[Json]]:
    """Return all visits in the order of their start: three per person, one a day."""
    made = []
    for day in range(3):
        for person in PEOPLE:
            begins = OPENING + day * DAY + random.randrange(DAY // 2)
            visit = Visit(random, person, day + 1, begins)
            made.append((begins, [event for step in steps(visit) for event in step(visit)]))
    return [events for _, events in sorted(made, key=lambda item: item[0])]


def steps(visit: Visit) -> Iterator[Step]:
    """Yield the steps of a visit; at the first visit people sign in late."""
    arrive = [look_around, decide_on_consent, sign_in]
    yield from arrive if visit.number == 1 else reversed(arrive)
    yield fill_the_cart
    if visit.role == "app":
        yield use_the_app
    if visit.number == 3:
        yield take_leave


def main() -> None:
    for events in visits(Random(SEED)):
        for event in events:
            sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
