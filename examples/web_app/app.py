"""A tea shop on the web, with a collector inside.

    pip install -r requirements.txt
    flask --app app run

One collector serves all visitors: every event names its user, and consent is recorded per user.
`push` returns as soon as the event is accepted, so no visitor waits for Customer.io.
"""

import os
import secrets
import uuid
from pathlib import Path
from typing import Any

from attrs import asdict
from flask import Flask, abort, redirect, render_template, request, session, url_for
from werkzeug import Response

from walker_collector import Collector, PushResult

HERE = Path(__file__).parent
TEAS = {
    "OOL-100": {"name": "Mountain Oolong", "price": 14.5},
    "SEN-050": {"name": "Spring Sencha", "price": 11.0},
    "ASM-250": {"name": "Strong Assam", "price": 9.8},
}

app = Flask(__name__)
app.secret_key = os.environ.get("SHOP_SECRET") or secrets.token_hex()
app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
# Once per process. A server may fork its workers afterwards: each opens its own connections.
collector = Collector.from_file(HERE / "flow.json")


def visitor() -> dict[str, str]:
    """Return the user of the request: the session, and once signed in, id and email."""
    session.setdefault("visitor", uuid.uuid4().hex)
    user = {"session": session["visitor"]}
    if "customer" in session:
        user |= {"id": session["customer"], "email": session["email"]}
    return user


def happened(name: str, **parts: Any) -> PushResult:
    """Push an event of this visitor."""
    return collector.push(name, user=visitor(), context={"page": [request.path, 0]}, **parts)


@app.get("/")
def shop() -> str:
    happened("page view", data={"url": request.url, "title": "All teas"})
    return render_template("shop.html", teas=TEAS, user=visitor(), cart=session.get("cart", []))


@app.post("/consent")
def consent() -> Response:
    """Record the answer to the banner, for events of this visitor so far and from now on."""
    collector.consent({"marketing": request.form.get("marketing") == "yes"}, user=visitor())
    return redirect(url_for("shop"))


@app.post("/login")
def login() -> Response:
    """Sign in; a real shop would ask for a password."""
    session["customer"], session["email"] = request.form["id"], request.form["email"]
    happened("user login")
    return redirect(url_for("shop"))


@app.post("/cart")
def add_to_cart() -> Response:
    sku = request.form["sku"]
    if sku not in TEAS:
        abort(404)
    session["cart"] = [*session.get("cart", []), sku]
    happened("cart add", data={"sku": sku, **TEAS[sku]})
    return redirect(url_for("shop"))


@app.post("/orders")
def order() -> Response:
    cart = session.pop("cart", [])
    if not cart or "customer" not in session:
        abort(409, "sign in, and put something into the cart")
    happened(
        "order complete",
        data={"number": uuid.uuid4().hex[:8], "total": sum(TEAS[sku]["price"] for sku in cart)},
        nested=[{"entity": "tea", "data": {"sku": sku, **TEAS[sku]}} for sku in cart],
    )
    return redirect(url_for("shop"))


@app.post("/account/erase")
def erase() -> Response:
    """Close the account: Customer.io deletes the person, then the collector forgets them.

    In this order, since events of a forgotten person are not delivered any more.
    """
    result = happened("account close", wait=True, timeout=5)
    if "accepted" not in result.destinations.values():
        collector.forget(visitor())
    session.clear()
    return redirect(url_for("shop"))


@app.get("/status")
def status() -> dict[str, Any]:
    """Return the status of each destination, for monitoring."""
    return asdict(collector.status())
