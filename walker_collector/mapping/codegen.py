"""What a mapping plainly says, as Python code: read there, put here, the same for every item.

Most of a mapping is `"price": "data.price"`, and a function that is told what to read takes twice
as long as one that is written for it. So one is written, at its first call. Of a loop over `nested`
that makes an object of `id`, which is 1 where there is none, and of what somebody's code finds:

    def generated(value, scope, type=type, PLAIN=PLAIN):
        object1 = value
        if type(object1) is not dict:
            object1 = NOTHING
        inputs2 = object1.get('nested')
        if type(inputs2) is list:
            scope3 = within(value, scope)
            made4 = []
            for item5 in inputs2:
                if item5 is None:
                    continue
                made6 = {}
                object7 = item5
                if type(object7) is not dict:
                    object7 = NOTHING
                found = object7.get('id')
                if type(found) in PLAIN:
                    made6['id'] = found
                elif found is not None:
                    made6['id'] = clean(found)
                else:
                    made6['id'] = default8
                found = call9(item5, scope3)
                if found is not MISSING:
                    made6['total'] = found
                made4.append(made6)
            return made4
        return MISSING

Nothing of the configuration becomes code: keys are literals, all else has a name.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from attrs import frozen

from walker_collector.config import MISSING
from walker_collector.mapping.pruning import PLAIN, keep
from walker_collector.mapping.scope import within

Resolve = Callable[[Any, Any], Any]
Clean = Callable[[Any], Any]


@frozen
class ReadNode:
    """What the input has at the keys, one within the other; no keys are the input itself.

    `default` stands where there is nothing, or None that is no value: a scalar, or MISSING.
    """

    keys: tuple[str, ...]
    default: Any = MISSING


@frozen
class CallNode:
    """What a function finds."""

    resolve: Resolve


@frozen
class ObjectNode:
    """An object of what is found for each key, in their order."""

    entries: tuple[tuple[str, "Node"], ...]


@frozen
class LoopNode:
    """A list of what `item` finds in each of the inputs; nothing where they are no list.

    Inputs that are None are passed over unless None is a value.

    `uses_scope` tells whether `item` looks at its scope.
    """

    inputs: ReadNode | CallNode
    item: "Node"
    uses_scope: bool


Node: TypeAlias = ReadNode | CallNode | ObjectNode | LoopNode

_DEEPEST: Final = 8
"""What is nested more deeply gets a function of its own: Python's blocks go no deeper than 20."""


def generate(node: Node, clean: Clean, where: str) -> Resolve:
    """Return the function that finds what the node says; its code is made at the first call.

    `clean` is applied to what is read unless it is a plain scalar or None; where it is `keep`, None
    is a value. `where` is the value's path in its flow, for tracebacks.
    """
    if isinstance(node, CallNode):
        return node.resolve
    made: Resolve | None = None

    def resolve(value: Any, scope: Any) -> Any:
        nonlocal made
        if made is None:  # two threads may make it at a time: the same
            source, names = write(node, clean, where)
            # Of `where` only what a file's name may hold.
            exec(compile(source, f"<mapping {where!a}>", "exec"), names)
            made = names["generated"]
        return made(value, scope)

    return resolve


def write(node: Node, clean: Clean, where: str) -> tuple[str, dict[str, Any]]:
    """Return the code of the function `generated`, and what the names in it stand for."""
    writer = _Writer(clean, where)
    writer.write(node)
    return "\n".join(writer.lines), writer.names


Store = Callable[[str], str]
"""Turns an expression into the statement that keeps its value."""


def _into(place: str) -> Store:
    return lambda found: f"{place} = {found}"


@frozen
class _Input:
    """The variables that hold an input and its scope."""

    value: str
    scope: str


class _Writer:
    def __init__(self, clean: Clean, where: str) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {
            "MISSING": MISSING,
            "NOTHING": {},
            "PLAIN": PLAIN,
            "clean": clean,
            "within": within,
        }
        self._clean = clean
        self._nullable = clean is keep
        self._where = where
        self._indent = ""
        self._depth = 0
        self._count = 0
        self._objects: dict[tuple[str, tuple[str, ...]], str] = {}

    def write(self, node: Node) -> None:
        # What is used all the time are parameters: those are read faster than globals.
        with self._block("def generated(value, scope, type=type, PLAIN=PLAIN):"):
            self._put(node, _Input("value", "scope"), lambda found: f"return {found}")
            self._line("return MISSING")

    def _put(self, node: Node, source: _Input, store: Store) -> None:
        """Write what stores what the node finds, and does nothing where that is nothing."""
        match node:
            case ReadNode():
                self._put_read(node, source, store)
            case CallNode():
                self._put_call(node, source, store)
            case _ if self._depth == _DEEPEST:
                self._put_call(CallNode(generate(node, self._clean, self._where)), source, store)
            case ObjectNode():
                self._put_object(node, source, store)
            case _:
                self._put_list(node, source, store)

    def _put_read(self, node: ReadNode, source: _Input, store: Store) -> None:
        if self._nullable:
            self._put_nullable(node, source, store)
            return
        self._line(f"found = {self._found(node, source)}")
        with self._block("if type(found) in PLAIN:"):
            self._line(store("found"))
        with self._block("elif found is not None:"):
            self._line(store("clean(found)"))
        if node.default is not MISSING:
            with self._block("else:"):
                self._line(store(self._bind("default", node.default)))

    def _put_nullable(self, node: ReadNode, source: _Input, store: Store) -> None:
        """Write what tells None that stands there from what is missing."""
        self._line(f"found = {self._found(node, source, ', MISSING')}")
        with self._block("if found is not MISSING:"):
            self._line(store("found"))
        if node.default is not MISSING:
            with self._block("else:"):
                self._line(store(self._bind("default", node.default)))

    def _put_call(self, node: CallNode, source: _Input, store: Store) -> None:
        self._line(f"found = {self._found(node, source)}")
        with self._block("if found is not MISSING:"):
            self._line(store("found"))

    def _put_object(self, node: ObjectNode, source: _Input, store: Store) -> None:
        made = self._variable("made", "{}")
        self._depth += 1
        for key, entry in node.entries:
            self._put(entry, source, _into(f"{made}[{self._literal(key)}]"))
        self._depth -= 1
        self._line(store(made))

    def _put_list(self, node: LoopNode, source: _Input, store: Store) -> None:
        inputs = self._variable("inputs", self._found(node.inputs, source))
        self._depth += 1
        with self._block(f"if type({inputs}) is list:"):
            scope = source.scope
            if node.uses_scope:
                scope = self._variable("scope", f"within({source.value}, {source.scope})")
            made = self._variable("made", "[]")
            item = self._name("item")
            with self._block(f"for {item} in {inputs}:"):
                if not self._nullable:
                    with self._block(f"if {item} is None:"):
                        self._line("continue")
                self._put(node.item, _Input(item, scope), lambda found: f"{made}.append({found})")
            self._line(store(made))
        self._depth -= 1

    def _found(self, node: ReadNode | CallNode, source: _Input, otherwise: str = "") -> str:
        """Return the expression for what the node finds, as it is; None where there is nothing,
        unless `otherwise` is a second argument of `get`.
        """
        if isinstance(node, CallNode):
            return f"{self._bind('call', node.resolve)}({source.value}, {source.scope})"
        return self._get(source.value, node.keys, otherwise) if node.keys else source.value

    def _get(self, value: str, keys: tuple[str, ...], otherwise: str = "") -> str:
        return f"{self._object(value, keys[:-1])}.get({self._literal(keys[-1])}{otherwise})"

    def _object(self, value: str, keys: tuple[str, ...]) -> str:
        """Return the variable of the object at the keys; it is read once, when first needed."""
        known = self._objects.get((value, keys))
        if known:
            return known
        name = self._variable("object", self._get(value, keys) if keys else value)
        with self._block(f"if type({name}) is not dict:"):
            self._line(f"{name} = NOTHING")
        self._objects[value, keys] = name
        return name

    def _literal(self, key: str) -> str:
        return ascii(key) if type(key) is str else self._bind("key", key)

    def _bind(self, kind: str, value: Any) -> str:
        name = self._name(kind)
        self.names[name] = value
        return name

    def _variable(self, kind: str, value: str) -> str:
        name = self._name(kind)
        self._line(f"{name} = {value}")
        return name

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"

    def _line(self, line: str) -> None:
        self.lines.append(self._indent + line)

    @contextmanager
    def _block(self, head: str) -> Iterator[None]:
        self._line(head)
        self._indent += "    "
        yield
        self._indent = self._indent[4:]
