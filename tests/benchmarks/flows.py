"""The flows that are measured: one mapping for all, as JSON so that the peer can run it."""

from typing import Any, Final

Json = dict[str, Any]

ITEM: Final[Json] = {
    "map": {
        "item_id": "data.id",
        "item_name": "data.name",
        "price": "data.price",
        "quantity": {"key": "data.quantity", "value": 1},
        "color": "data.color",
    }
}
MAPPING: Final[Json] = {
    "order": {
        "complete": {
            "name": "purchase",
            "data": {
                "map": {
                    "transaction_id": "data.id",
                    "value": "data.total",
                    "currency": {"key": "data.currency", "value": "EUR"},
                    "shipping": "data.shipping.price",
                    "coupon": "data.coupon",
                    "language": "globals.language",
                    "items": {"loop": ["nested", ITEM]},
                }
            },
        }
    },
    "cart": {
        "add": {
            "name": "add_to_cart",
            "data": {"map": {"value": "data.value", "items": {"loop": ["nested", ITEM]}}},
        }
    },
    "product": {"view": {"name": "view_item", "data": ITEM}},
    "page": {"view": {"data": {"map": {"path": "data.id", "title": "data.title"}}}},
    "user": {"*": {"data": {"map": {"method": {"key": "data.method", "value": "unknown"}}}}},
}
CONSENT: Final[Json] = {"functional": True, "marketing": True}


def flow(destinations: Json, **collector: Any) -> Json:
    """Return a flow for `Collector.from_config`."""
    return {
        "version": 4,
        "flows": {
            "default": {
                "collector": {"consent": CONSENT, **collector},
                "destinations": destinations,
            }
        },
    }


def destination(package: str, **config: Any) -> Json:
    """Return one destination with the common mapping, behind consent."""
    return {
        "package": package,
        "config": {"consent": {"marketing": True}, "mapping": MAPPING, **config},
    }
