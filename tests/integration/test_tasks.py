"""Celery's forked processes and one spool, with real tasks."""

import signal
from pathlib import Path

import pytest

from tests.integration.ads import delivered, write_flow
from tests.integration.families import family
from tests.integration.task_shop import make_app
from tests.support import wait_until

WORKER = "celery --app tests.integration.task_shop worker --concurrency 2 --max-tasks-per-child 8"


@pytest.mark.parametrize("early", [False, True], ids=["created-after-fork", "created-before-fork"])
def test_what_one_process_hears_of_consent_counts_for_the_events_of_the_other(
    early: bool, tmp_path: Path
) -> None:
    broker, log = tmp_path / "broker", tmp_path / "log"
    broker.mkdir()
    variables = {"SHOP_FLOW": write_flow(tmp_path), "SHOP_BROKER": broker}
    variables |= {"SHOP_EARLY": "yes"} if early else {}
    app = make_app(broker)
    with family(WORKER.split(), log, **variables) as process:
        for n in range(6):
            app.send_task("push_while_another_asks", (f"u{n}", 0))
            app.send_task("ask_while_another_pushes", (f"u{n}", n % 2 == 0))
            for at in range(1, 6):
                app.send_task("push", (f"u{n}", at))
        wait_until(lambda: len(list(broker.glob("*.pushed"))) == 36, "the end of all tasks", 60)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    told = log.read_text("utf-8")
    assert "Traceback" not in told
    # Two processes run the tasks of a person in any order; each event arrives, and once.
    assert {person: sorted(numbers) for person, numbers in delivered(tmp_path).items()} == {
        f"u{n}": list(range(6)) for n in range(0, 6, 2)
    }
