"""No test can hang: every wait in tests has a bound."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import wait_until

TESTS = Path(__file__).parent
EXEMPT = {
    TESTS / "core" / "test_clients.py",  # its waits pass on a fake clock
    *(TESTS / "benchmarks").rglob("*.py"),  # tools; nobody runs them unattended
}
RUNS = {"run", "call", "check_call", "check_output"}
WAITS = {"wait", "join", "communicate", "get", "acquire", "result", "wait_for"}


def unbounded(node: ast.AST) -> str | None:
    """Return how a piece of code may wait without end, if it may."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="subprocess"), attr=name)):
            if name == "Popen":
                return "tests.support.program ends it in any case"
            if name in RUNS and not _has_timeout(node):
                return "give it a timeout"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr="wait" | "waitpid")):
            return "tests.support.exit_status has a bound"
        case ast.Call(func=ast.Attribute(attr=name), args=[]) if name in WAITS:
            if not _has_timeout(node):
                return "give it a timeout"
        case ast.Call(func=ast.Attribute(attr="wait_for"), args=[ast.Lambda()]):
            if not _has_timeout(node):
                return "give it a timeout"
        case ast.While(test=ast.UnaryOp(op=ast.Not()) | ast.Constant(value=True)):
            return "tests.support.wait_until has a bound"
    return None


def _has_timeout(call: ast.Call) -> bool:
    return any(keyword.arg in ("timeout", None) for keyword in call.keywords)


def complaints(path: Path) -> Iterator[str]:
    """Name the unbounded waits of a file, but for lines that say `bounded:` by what else."""
    text = path.read_text("utf-8")
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call | ast.While):
            continue
        advice = unbounded(node)
        if advice and "bounded:" not in lines[node.lineno - 1]:
            yield f"{path.relative_to(TESTS)}:{node.lineno}: may wait without end: {advice}"


@pytest.mark.parametrize("folder", sorted(p.name for p in TESTS.iterdir() if p.is_dir()))
def test_every_wait_has_a_bound(folder: str) -> None:
    files = {path for path in (TESTS / folder).rglob("*.py") if path not in EXEMPT}
    assert [complaint for path in sorted(files) for complaint in complaints(path)] == []


@pytest.mark.parametrize(
    "code",
    [
        "subprocess.run(['x'], check=True)",
        "subprocess.Popen(['x'])",
        "thread.join()",
        "event.wait()",
        "os.waitpid(pid, 0)",
        "more.wait_for(lambda: done)",
        "while not done: pass",
    ],
)
def test_wait_without_a_bound_is_found(code: str) -> None:
    assert any(unbounded(node) for node in ast.walk(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "subprocess.run(['x'], timeout=1)",
        "thread.join(20)",
        "event.wait(timeout=2)",
        "', '.join(x)",
    ],
)
def test_wait_with_a_bound_is_none_of_these(code: str) -> None:
    assert not any(unbounded(node) for node in ast.walk(ast.parse(code)))


def test_wait_that_fails_says_what_it_waited_for() -> None:
    with pytest.raises(AssertionError, match="did not happen in 0 s: the mail"):
        wait_until(lambda: False, "the mail", timeout=0)
    mails: list[str] = []
    with pytest.raises(AssertionError, match=r"len\(mails\) == 3"):
        wait_until(lambda: len(mails) == 3, timeout=0)
