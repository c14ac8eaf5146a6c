import pytest
from attrs import define, field

from tests.customerio.support import Memory
from walker_collector import DestinationDown, RetryLater
from walker_dest_customerio.at_most_once import InDoubt, at_most_once
from walker_dest_customerio.responses import NoResponse, NotProcessed, RequestRejected


@define
class Call:
    """A call that raises what it is told to, one error a time, and counts its successes."""

    errors: list[BaseException] = field(factory=list)
    made: int = 0

    def __call__(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.made += 1


class Crash(BaseException):
    """The end of the process in the middle of a call."""


def test_success_is_kept() -> None:
    call, progress = Call(), Memory()
    at_most_once("send_email", progress, call)
    assert call.made == 1
    assert progress.parts == {"send_email": "done"}


@pytest.mark.parametrize("error", [NotProcessed("refused", 3.0), DestinationDown("bad key")])
def test_try_without_effect_may_be_repeated(error: Exception) -> None:
    call, progress = Call([error, error, error]), Memory()
    for _ in range(3):
        with pytest.raises(type(error)):
            at_most_once("send_email", progress, call)
        assert progress.parts == {}
    at_most_once("send_email", progress, call)
    assert call.made == 1
    assert progress.parts == {"send_email": "done"}


def test_refusal_is_kept_with_its_reason() -> None:
    progress = Memory()
    with pytest.raises(RequestRejected):
        at_most_once("send_email", progress, Call([RequestRejected("no such template", 400)]))
    assert progress.parts == {"send_email": "rejected"}
    assert progress.reason("send_email") == "no such template"


@pytest.mark.parametrize("error", [NoResponse("read timeout"), RetryLater("answered 500")])
def test_try_in_doubt_is_never_repeated_and_stays_begun(error: Exception) -> None:
    call, progress = Call([error]), Memory()
    for _ in range(3):
        with pytest.raises(InDoubt, match="may have been sent"):
            at_most_once("send_email", progress, call)
    assert call.made == 0
    assert progress.parts == {"send_email": "begun"}


def test_try_cut_off_by_a_crash_is_never_repeated() -> None:
    call, progress = Call([Crash()]), Memory()
    with pytest.raises(Crash):
        at_most_once("send_email", progress, call)
    with pytest.raises(InDoubt, match="may have been sent"):
        at_most_once("send_email", progress, call)
    assert call.made == 0


def test_later_try_cut_off_by_a_crash_is_never_repeated() -> None:
    call, progress = Call([NotProcessed("refused"), Crash()]), Memory()
    with pytest.raises(NotProcessed):
        at_most_once("send_email", progress, call)
    with pytest.raises(Crash):
        at_most_once("send_email", progress, call)
    with pytest.raises(InDoubt, match="may have been sent"):
        at_most_once("send_email", progress, call)


def test_try_that_was_begun_elsewhere_is_not_repeated() -> None:
    call = Call()
    with pytest.raises(InDoubt, match=r"^the message may have been sent"):
        at_most_once("send_email", Memory({"send_email": "begun"}), call)
    assert call.made == 0


def test_without_progress_doubt_still_ends_it() -> None:
    with pytest.raises(InDoubt, match="may have been sent"):
        at_most_once("send_push", None, Call([NoResponse("reset")]))
    with pytest.raises(NotProcessed):
        at_most_once("send_push", None, Call([NotProcessed("refused")]))
    call = Call()
    at_most_once("send_push", None, call)
    assert call.made == 1
