"""Celery tasks that push events and record consent, with a folder as their broker.

The environment names the flow (SHOP_FLOW) and the folder of messages (SHOP_BROKER). With SHOP_EARLY
the collector is created before Celery forks.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import worker_init, worker_process_shutdown

from tests.support import wait_until
from walker_collector import Collector

BROKER = Path(os.environ.get("SHOP_BROKER", "broker"))


def make_app(broker: Path) -> Celery:
    """Return an application whose messages are files."""
    app = Celery("shop", broker="filesystem://")
    folders = ("data_folder_in", "data_folder_out", "control_folder")
    app.conf.update(
        broker_transport_options={**dict.fromkeys(folders, str(broker)), "polling_interval": 0.02},
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
    )
    return app


app = make_app(BROKER)


@cache
def collector() -> Collector:
    return Collector.from_file(os.environ["SHOP_FLOW"])


@worker_init.connect
def open_early(**_: Any) -> None:
    if "SHOP_EARLY" in os.environ:
        collector()


@worker_process_shutdown.connect
def close_collector(**_: Any) -> None:
    collector().close()


@app.task(name="push")
def push(person: str, n: int) -> None:
    collector().push("order complete", data={"n": n}, user={"id": person})
    (BROKER / f"{person}.{n}.pushed").touch()


@app.task(name="consent")
def consent(person: str, marketing: bool) -> None:
    collector().consent({"marketing": marketing}, user={"id": person})


@app.task(name="push_while_another_asks")
def push_while_another_asks(person: str, n: int) -> None:
    meet(person, "push")
    push(person, n)


@app.task(name="ask_while_another_pushes")
def ask_while_another_pushes(person: str, marketing: bool) -> None:
    meet(person, "ask")
    consent(person, marketing)


def meet(person: str, role: str) -> None:
    """Wait until both tasks of a person run: each occupies a process of its own."""
    (BROKER / f"{person}.{role}").touch()
    wait_until(lambda: all((BROKER / f"{person}.{role}").exists() for role in ("push", "ask")))
