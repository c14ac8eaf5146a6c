"""Compile simple mappings (paths, maps, loops, scalar defaults) to Python source.

Most of a mapping is `"price": "data.price"`. A function written for its paths takes half the time
of one that interprets them, so one is written at the first call. For a loop over `nested` that
makes an object of `id` (default 1) and `total` (found by a function of the user), it is:

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

No text of the configuration becomes code: keys are literals, and values are bound to names.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from walker_collector.config import MISSING
from walker_collector.mapping.pruning import PLAIN, Clean, keep
from walker_collector.mapping.scope import Resolve, within


@frozen
class ReadNode:
    """A value of the input, read by keys, each inside the one before; no keys: the whole input.

    `default` (a scalar, or MISSING) replaces a missing value, and None unless None is a value.
    """

    keys: tuple[str, ...]
    default: Any = MISSING


@frozen
class CallNode:
    """The result of a function, which `spec` was compiled to."""

    resolve: Resolve
    spec: Any = field(default=None, eq=False)


@frozen
class ObjectNode:
    """An object with a node for each key, in this order."""

    entries: tuple[tuple[str, "Node"], ...]


@frozen
class LoopNode:
    """A list with `item` resolved for each of the inputs; MISSING unless these are a list.

    None among the inputs is skipped unless None is a value. `uses_scope` says whether `item`
    reads its scope, so that none is made where it does not.
    """

    inputs: ReadNode | CallNode
    item: "Node"
    uses_scope: bool


Node: TypeAlias = ReadNode | CallNode | ObjectNode | LoopNode


@define(eq=False)
class Shape:
    """An object with its keys decoded into attributes, `f0` for the first of `below`.

    below: each key, with the shape of the object there; Items of a list; None of any value.
    empty: stands in for a missing object, so that reading on needs no further test.
    """

    below: dict[str, "Shape | Items | None"] = field(factory=dict)
    empty: Any = None

    def attribute(self, key: str) -> str:
        """Return the attribute of a key."""
        return f"f{list(self.below).index(key)}"


@define(eq=False)
class Items:
    """A list of items with a shape."""

    shape: Shape


MAX_DEPTH: Final = 8
"""Nested nodes in one function. Python allows 20 nested blocks, and a loop takes two per level."""


def generate(node: Node, clean: Clean, where: str) -> Resolve:
    """Return a function that resolves the node; its code is generated at the first call.

    `clean` is applied to every value that is neither a plain scalar nor None. With `keep`, None is
    a value. `where` is the value's path in its flow, for tracebacks.
    """
    if isinstance(node, CallNode):
        return node.resolve
    made: Resolve | None = None

    def resolve(value: Any, scope: Any) -> Any:
        nonlocal made
        if made is None:  # two threads may do this at once; their results are equal
            source, names = write(node, clean, where)
            # `!a`: a file name may hold neither a null character nor a lone surrogate.
            exec(compile(source, f"<mapping {where!a}>", "exec"), names)
            made = names["generated"]
        return made(value, scope)

    return resolve


def write(
    node: Node, clean: Clean, where: str, shape: Shape | None = None, *, scalars: bool = False
) -> tuple[str, dict[str, Any]]:
    """Return the source of the function `generated`, and the values of the names it uses.

    With a shape, its `value` has that shape, and keys that the shape lacks are read in `event`.
    `scalars`: the values in the shape are known to be plain scalars or None.
    """
    writer = _FunctionWriter(clean, where, scalars)
    writer.write(node, shape)
    return "\n".join(writer.lines), writer.names


Store = Callable[[str], str]
"""Turns an expression into the statement that stores its value."""


def _into(place: str) -> Store:
    return lambda found: f"{place} = {found}"


@frozen
class _Input:
    """The variables that hold an input and its scope."""

    value: str
    scope: str


class _FunctionWriter:
    """Writes the function line by line.

    `names` collects the values that its code refers to. `_objects` has the variable of each object
    that was read already, so that `data.id` and `data.price` fetch `data` once. `_shapes` has the
    shapes of the variables that hold no dicts.
    """

    def __init__(self, clean: Clean, where: str, scalars: bool) -> None:
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
        self._scalars = scalars
        self._where = where
        self._indent = ""
        self._depth = 0
        self._count = 0
        self._objects: dict[tuple[str, tuple[str, ...]], str] = {}
        self._shapes: dict[str, Shape] = {}

    def write(self, node: Node, shape: Shape | None) -> None:
        more = ""
        if shape is not None:
            self._shapes["value"], more = shape, ", event"
        # The names used most are parameters: Python reads locals faster than globals.
        with self._block(f"def generated(value, scope{more}, type=type, PLAIN=PLAIN):"):
            self._put(node, _Input("value", "scope"), lambda found: f"return {found}")
            self._line("return MISSING")

    def _put(self, node: Node, source: _Input, store: Store) -> None:
        """Write code that stores the node's value, or does nothing if that is MISSING."""
        match node:
            case ReadNode():
                self._put_read(node, source, store)
            case CallNode():
                self._put_call(node, source, store)
            case _ if self._depth == MAX_DEPTH:  # the rest goes into a function of its own
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
        if self._scalars and self._is_in_shape(node, source):
            with self._block("if found is not None:"):
                self._line(store("found"))
        else:
            # Scalars first, without a call: most values of a mapping are scalars.
            with self._block("if type(found) in PLAIN:"):
                self._line(store("found"))
            with self._block("elif found is not None:"):
                self._line(store("clean(found)"))
        if node.default is not MISSING:
            with self._block("else:"):
                self._line(store(self._bind("default", node.default)))

    def _put_nullable(self, node: ReadNode, source: _Input, store: Store) -> None:
        """Write a read that keeps None apart from a missing value."""
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
            if isinstance(items := self._shape_of(node.inputs, source), Items):
                self._shapes[item] = items.shape
            with self._block(f"for {item} in {inputs}:"):
                if not self._nullable:
                    with self._block(f"if {item} is None:"):
                        self._line("continue")
                self._put(node.item, _Input(item, scope), lambda found: f"{made}.append({found})")
            self._line(store(made))
        self._depth -= 1

    def _found(self, node: ReadNode | CallNode, source: _Input, otherwise: str = "") -> str:
        """Return the expression for the node's value, not cleaned yet.

        It yields None for a missing key unless `otherwise` gives `get` another default.
        """
        if isinstance(node, CallNode):
            value = "event" if source.value in self._shapes else source.value
            return f"{self._bind('call', node.resolve)}({value}, {source.scope})"
        return self._get(source.value, node.keys, otherwise) if node.keys else source.value

    def _get(self, value: str, keys: tuple[str, ...], otherwise: str = "") -> str:
        value = self._holder(value, keys)
        found = self._object(value, keys[:-1])
        if found in self._shapes:
            return f"{found}.{self._shapes[found].attribute(keys[-1])}"
        return f"{found}.get({self._literal(keys[-1])}{otherwise})"

    def _holder(self, value: str, keys: tuple[str, ...]) -> str:
        """Return the variable to read the keys in: `event` for those that a shape lacks."""
        shape = self._shapes.get(value)
        return value if shape is None or not keys or keys[0] in shape.below else "event"

    def _shape_of(self, node: ReadNode | CallNode, source: _Input) -> Shape | Items | None:
        """Return the shape of the node's value."""
        found: Shape | Items | None = self._shapes.get(source.value)
        for key in node.keys if isinstance(node, ReadNode) else ():
            found = found.below.get(key) if isinstance(found, Shape) else None
        return found

    def _is_in_shape(self, node: ReadNode, source: _Input) -> bool:
        """Return whether the node's value is an attribute of an object with a shape."""
        holder = _Input(self._holder(source.value, node.keys), "")
        return bool(node.keys) and self._shape_of(ReadNode(node.keys[:-1]), holder) is not None

    def _object(self, value: str, keys: tuple[str, ...]) -> str:
        """Return the variable of the object at the keys; it is read once, when first needed."""
        value = self._holder(value, keys)
        if not keys and value in self._shapes:
            return value
        known = self._objects.get((value, keys))
        if known:
            return known
        shape = self._shape_of(ReadNode(keys), _Input(value, ""))
        if isinstance(shape, Shape):
            empty = self._bind("empty", shape.empty)
            name = self._variable("object", f"{self._get(value, keys)} or {empty}")
            self._shapes[name] = shape
            self._objects[value, keys] = name
            return name
        name = self._variable("object", self._get(value, keys) if keys else value)
        # An empty object in its place, so that reading on needs no further test.
        with self._block(f"if type({name}) is not dict:"):
            self._line(f"{name} = NOTHING")
        self._objects[value, keys] = name
        return name

    def _literal(self, key: str) -> str:
        # A subclass of str may have a `__repr__` of its own, so it is bound to a name.
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
