"""Random work of several real processes on one spool, some of them killed, against a model."""

import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.core.people_model import USERS as MANY
from tests.core.processes.actor import Actor, Journal
from tests.core.processes.expected import Event, Expected, User, Work, commute
from tests.forms import examples, form
from tests.support import wait_until

FEW: list[User] = [
    {"id": "u"},
    {"session": "s"},
    {"id": "u", "session": "s"},
    {"device": "d"},
    {"device": "d", "session": "s"},
    {"id": "v", "session": "s"},
]
USERS = st.sampled_from(FEW) | MANY
GRANTED = st.sampled_from([True, True, False])
KINDS = st.sampled_from(["good", "good", "good", "bad", "flaky"])
OWN = st.sampled_from([None, None, None, True, False])
NAMES = st.sampled_from(["push", "push", "consent", "forget"])
PLACES = st.integers(0, 2)
TAKEOVER = 10.0
"""How long (s) it may take until everything is delivered, on a busy machine."""


class Processes(RuleBasedStateMachine):
    """Two or three processes push, state and erase; the model knows what has to come of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="walker-model-"))
        self.journal = Journal(self.folder)
        self.expected = Expected()
        self.actors: list[Actor] = []
        self.count = 0
        self.shards = 1

    @initialize(count=st.integers(2, 3), only_accepts=st.booleans(), shards=st.sampled_from([1, 4]))
    def open(self, count: int, only_accepts: bool, shards: int) -> None:
        self.shards = shards
        self.expected.note(shards, "shards")
        self.actors = [
            Actor(self.folder, delivers=not (only_accepts and n == 1), shards=shards)
            for n in range(count)
        ]

    def teardown(self) -> None:
        try:
            if isinstance(sys.exc_info()[1], Exception):  # what happens is never twice the same
                print(*self.expected.history, "", sep="\n")
            elif self.actors:
                self.be_quiet()
        finally:
            for actor in self.actors:
                actor.kill()
            shutil.rmtree(self.folder)

    # --- commands --------------------------------------------------------------------------

    @rule(at=PLACES, user=USERS, own=OWN, kind=KINDS)
    def push(self, at: int, user: User, own: bool | None, kind: str) -> None:
        self.run([(at, self.pushed(user, own, kind))])

    @rule(at=PLACES, users=st.lists(USERS, min_size=3, max_size=12), own=OWN)
    def push_some(self, at: int, users: list[User], own: bool | None) -> None:
        self.run([(at, self.pushed(user, own)) for user in users])

    @rule(at=PLACES, user=USERS, granted=GRANTED)
    def consent(self, at: int, user: User, granted: bool) -> None:
        self.run([(at, Work("consent", user, granted))])

    @rule(at=PLACES, user=USERS)
    def forget(self, at: int, user: User) -> None:
        self.run([(at, Work("forget", user))])

    @rule(
        at=PLACES,
        users=st.tuples(USERS, USERS),
        names=st.tuples(NAMES, NAMES),
        granted=GRANTED,
    )
    def do_two_things_at_once(
        self, at: int, users: tuple[User, User], names: tuple[str, str], granted: bool
    ) -> None:
        """Two processes do something, if it makes no difference who is first."""
        works = [
            self.pushed(user) if name == "push" else Work(name, user, granted)
            for name, user in zip(names, users, strict=True)
        ]
        if commute(self.expected.people, works):
            self.run(list(zip((at, at + 1), works, strict=True)))

    @rule(user=USERS)
    def push_by_a_script(self, user: User) -> None:
        """A short script pushes one event, and ends."""
        work = self.pushed(user)
        self.begin([(-1, work)])
        script = Actor(self.folder, shards=self.shards)
        script.do(*work.command)
        script.close()
        self.end([work], in_flight=True)

    @precondition(lambda self: any(map(self.expected.is_bad, self.expected.left)))
    @rule(at=PLACES)
    def replay(self, at: int) -> None:
        self.be_quiet()
        for event in self.expected.left:
            if event.kind == "bad":
                (self.folder / f"mended-{event.n}").touch()
                self.expected.mended.add(event.n)
        self.actor(at).do("replay")
        self.be_quiet()

    # --- ends of processes -----------------------------------------------------------------

    @rule(at=PLACES, user=USERS, count=st.integers(1, 8), read=st.integers(0, 8))
    def kill_as_it_pushes(self, at: int, user: User, count: int, read: int) -> None:
        one = dict([next(iter(user.items()))])  # nothing is learned of it that may be lost
        works = [self.pushed(one) for _ in range(count)]
        actor = self.actor(at)
        self.begin([(at, work) for work in works])
        for work in works:
            actor.send(*work.command)
        done = min(read, count)
        for _ in range(done):
            actor.answer()
        done += self.kill_now(actor)
        for work in works[done:]:
            assert work.event is not None
            work.event.certain = False
        self.end(works, in_flight=True)
        actor.start()

    @rule(at=PLACES, user=USERS, granted=GRANTED, forget=st.booleans())
    def kill_as_it_decides(self, at: int, user: User, granted: bool, forget: bool) -> None:
        """A process is killed within a statement or an erasure, which another one repeats."""
        work = Work("forget" if forget else "consent", user, granted)
        actor = self.actor(at)
        self.begin([(at, work)])
        actor.send(*work.command)
        self.kill_now(actor)
        left = self.actor(at + 1).do(*work.command)
        self.end([work], in_flight=not forget and left)
        actor.start()

    @rule(at=PLACES)
    def kill(self, at: int) -> None:
        self.kill_now(self.actor(at))
        self.actor(at).start()

    @rule(at=PLACES)
    def restart(self, at: int) -> None:
        self.expected.note("restart", at % len(self.actors))
        self.actor(at).close()
        self.actor(at).start()

    # --- quiet -----------------------------------------------------------------------------

    @rule()
    def be_quiet(self) -> None:
        """Wait until everything is delivered that may be, and compare it with the model."""
        self.expected.note("be quiet")
        for actor in self.actors:
            assert actor.do("flush")
        # Nobody's flush waits for what was accepted by processes that were killed, and what was
        # held is not waiting before its deliverer has heard of the grant.
        try:
            wait_until(self.is_quiet, timeout=TAKEOVER)
        finally:
            self.expected.note("owed", self.expected.owed)
        self.expected.check_quiet()
        dead = self.actors[0].do("dead")
        self.expected.check_dead(dead)
        figures = self.expected.figures(dead)
        for actor in self.actors:
            wait_until(lambda actor=actor: actor.do("figures") == figures, f"{figures}")

    def is_quiet(self) -> bool:
        self.expected.read(self.journal.more())
        return not self.expected.owed and not any(map(self.waits, self.actors))

    def waits(self, actor: Actor) -> bool:
        """Return whether anything waits, as far as a process knows."""
        figures = actor.do("figures")
        return any(figures[destination][0] for destination in ("all", "asks"))

    # --- helpers ---------------------------------------------------------------------------

    def actor(self, at: int) -> Actor:
        return self.actors[at % len(self.actors)]

    def pushed(self, user: User, own: bool | None = None, kind: str = "good") -> Work:
        self.count += 1
        return Work("push", user, event=Event(self.count, user, kind, own))

    def kill_now(self, actor: Actor) -> int:
        self.expected.note("kill", self.actors.index(actor))
        self.expected.kills += 1
        return actor.kill()

    def run(self, works: Sequence[tuple[int, Work]]) -> None:
        """Run commands: those of one process in turn, those of several at once."""
        self.begin(works)
        for at, work in works:
            self.actor(at).send(*work.command)
        left = [self.actor(at).answer() for at, work in works]
        in_flight = any(
            count for count, (_, work) in zip(left, works, strict=True) if work.name == "consent"
        )
        self.end([work for _, work in works], in_flight=in_flight)

    def begin(self, works: Sequence[tuple[int, Work]]) -> None:
        self.expected.read(self.journal.more())
        self.expected.begin((at % len(self.actors) if at >= 0 else at, w) for at, w in works)

    def end(self, works: Sequence[Work], *, in_flight: bool) -> None:
        self.expected.end(works, self.journal.more(), in_flight=in_flight)
        traces, self.expected.traces = self.expected.traces, set()
        if traces:
            for name, content in self.contents():
                found = [text for text in traces if text.encode() in content]
                assert not found, f"{name} has {found} of erased people"

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield the content of each file, and of the database as far as it is stored in it.

        SQLite may leave a copy of a deleted row where it has moved rows before: docs/consent.md.
        """
        spool, copy = self.folder / "spool.db", self.folder / "copy.db"
        with closing(sqlite3.connect(spool)) as db:
            db.execute("VACUUM INTO ?", (str(copy),))
        yield spool.name, copy.read_bytes()
        copy.unlink()
        yield "spool.db-wal", (self.folder / "spool.db-wal").read_bytes()
        for path in (self.folder / "spool.db.locks").iterdir():
            yield path.name, path.read_bytes()


TestProcesses = Processes.TestCase
TestProcesses.settings = examples(
    5, stateful_step_count=form(15, 40), phases=[Phase.generate], report_multiple_bugs=False
)
