"""From plain JSON values to attrs classes: strict, and with every mistake collected.

Nothing is coerced: a number is not a string and a string is not a boolean. Keys are read in
camelCase and snake_case; an unknown one is a mistake, because a mapping that is silently not
applied is worse than none.
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Callable as AbstractCallable
from contextlib import nullcontext
from contextvars import ContextVar
from enum import Enum
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import (
    BaseValidationError,
    ClassValidationError,
    IterableValidationNote,
)

from walker_collector.config import (
    AlternativesSpec,
    BatchConfig,
    BreakerConfig,
    Consent,
    ObjectSpec,
    PathSpec,
    Placeholder,
    RuleConfig,
    Secret,
    ValueSpec,
)
from walker_collector.errors import ConfigError, Problem
from walker_collector.mapping import Value
from walker_collector.naming import camel, hint, join, kind

T = TypeVar("T")

CODE_PREFIX: Final = "$code:"
CODE_ADVICE: Final = (
    'JavaScript ($code:) cannot run here; write the Python function into a module and "module:name"'
)

SHORT_FORM: Final[Mapping[type, str]] = {BatchConfig: "wait", BreakerConfig: "threshold"}
"""Which field a bare number sets."""

SYNONYMS: Final[Mapping[type, dict[str, str]]] = {RuleConfig: {"silent": "skip"}}
"""Other keys that are read, and the field each means."""


_place: ContextVar[str] = ContextVar("place", default="")
"""Where on disk the value being structured stands; a `Value` keeps it for its error messages."""


class Unfit(ValueError):
    """A value that is not what its place asks for; the text is the problem's message."""


def structure(raw: Any, cls: type[T], path: str = "") -> tuple[T | None, list[Problem]]:
    """Build `cls` from plain values; never raises for what they hold.

    Returns the object and no problems, or None and every problem, each with its place on disk
    below `path`.
    """
    outer = _place.set(path)
    try:
        return converter.structure(raw, cls), []
    except Exception as error:
        return None, list(_problems(error, path))
    finally:
        _place.reset(outer)


def structure_or_raise(raw: Any, cls: type[T], path: str = "", source: str | None = None) -> T:
    """Build `cls` from plain values, or raise `ConfigError` with every problem."""
    result, problems = structure(raw, cls, path)
    if problems:
        raise ConfigError(problems, source)
    return result  # type: ignore[return-value]  # no problems: there is a result


def load_callable(reference: str) -> Callable[..., Any]:
    """Import what `"module:name"` names; raises `Unfit` saying what to do where that fails."""
    if reference.startswith(CODE_PREFIX):
        raise Unfit(CODE_ADVICE)
    module, _, name = reference.partition(":")
    if not module or not name:
        raise Unfit('expected a callable, written "module:name"')
    try:
        found: Any = import_module(module)
    except Exception as error:  # importing runs foreign code: anything may come out
        reason = f"{type(error).__name__}: {error}"
        raise Unfit(
            f"cannot import module {module} ({reason}); install it, or put its folder on PYTHONPATH"
        ) from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise Unfit(f"module {module} has no callable {name}")
    return found  # type: ignore[no-any-return]  # callable() does not narrow Any


def disk_key(attribute: "attrs.Attribute[Any]") -> str:
    """Return how an attrs field is written on disk (metadata `key`, else its name in camelCase)."""
    return str(attribute.metadata.get("key") or camel(attribute.name))


# --- classes ---------------------------------------------------------------------------------


def _class_hook(cls: type[Any]) -> Callable[[Any, Any], Any]:
    attrs.resolve_types(cls)
    fields = {field.name: field for field in attrs.fields(cls) if field.init}

    def hook(raw: Any, _: Any) -> Any:
        return raw if isinstance(raw, cls) else _structure_class(cls, fields, raw)

    return hook


def _structure_class(cls: type[Any], fields: dict[str, Any], raw: Any) -> Any:
    raw = _long_form(cls, raw)
    errors: list[Exception] = []
    keys = _spelled(cls, fields, raw, errors)
    values: dict[str, Any] = {}
    for name, key in keys.items():
        try:
            values[name] = _part(raw[key], fields[name].type or Any, key)
        except Exception as error:  # hooks of plugins: anything may come out
            errors.append(_at(error, key))
    for name, field in fields.items():
        if field.default is attrs.NOTHING and name not in keys:
            errors.append(_at(Unfit("required, but missing"), disk_key(field)))
    stood_in = {name for name, key in keys.items() if isinstance(raw[key], Placeholder)}
    errors += _refused(
        {fields[name]: keys[name] for name in values if name not in stood_in}, values
    )
    if errors:
        raise ClassValidationError(cls.__name__, errors, cls)
    with attrs.validators.disabled() if stood_in else nullcontext():
        return cls(**{fields[name].alias: value for name, value in values.items()})


class _Draft:
    """What a validator gets for an instance while there is none: the values read."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


def _refused(fields: Mapping[Any, str], values: dict[str, Any]) -> Iterator[Exception]:
    """Run validators by themselves: an instance would stop at the first, without its place."""
    draft = _Draft(values)
    for field, key in fields.items():
        if field.validator is None:
            continue
        try:
            field.validator(draft, field, values[field.name])
        except AttributeError:
            continue  # it looks at a field that is not there; the instance will have them all
        except Exception as error:  # validators of plugins: anything may come out
            yield _at(error, key)


def _part(raw: Any, cls: Any, key: str | int) -> Any:
    """Structure what stands at `key` of the value being structured."""
    outer = _place.set(join(_place.get(), key))
    try:
        return converter.structure(raw, cls)
    finally:
        _place.reset(outer)


def _long_form(cls: type[Any], raw: Any) -> Mapping[str, Any]:
    short = SHORT_FORM.get(cls)
    if short and isinstance(raw, int | float) and not isinstance(raw, bool):
        return {short: raw}
    if not isinstance(raw, Mapping):
        raise Unfit(f"expected an object{' or a number' if short else ''}, got {kind(raw)}")
    return raw


def _spelled(
    cls: type[Any], fields: dict[str, Any], raw: Mapping[str, Any], errors: list[Exception]
) -> dict[str, str]:
    """Return field name -> the key as the person spelled it."""
    spellings = {disk_key(field): name for name, field in fields.items()}
    known = spellings | {name: name for name in fields} | SYNONYMS.get(cls, {})
    keys: dict[str, str] = {}
    for key in raw:
        name = known.get(key)
        if name is None:
            errors.append(_at(Unfit("unknown key" + hint(str(key), spellings)), str(key)))
        elif name in keys and raw[keys[name]] != raw[key]:
            errors.append(_at(Unfit(f"contradicts {keys[name]}: they mean the same"), key))
        else:
            keys[name] = key
    return keys


# --- values ----------------------------------------------------------------------------------


def _scalar_hook(cls: type[Any], accepts: tuple[type, ...], name: str) -> Callable[[Any, Any], Any]:
    def hook(raw: Any, asked: Any) -> Any:
        if issubclass(asked, Enum):  # a str or int enum is found as its base
            return _enum_hook(raw, asked)
        if cls is int and isinstance(raw, float) and raw.is_integer():
            return int(raw)  # JSON knows one kind of number: 1e3 is a whole one
        if not isinstance(raw, accepts) or (isinstance(raw, bool) and cls is not bool):
            raise Unfit(f"expected {name}, got {kind(raw)}")
        return cls(raw) if cls in (float, Secret) else raw

    return hook


def _enum_hook(raw: Any, cls: type[Enum]) -> Enum:
    try:
        return cls(raw)
    except ValueError:
        options = (str(member.value) for member in cls)
        raise Unfit(f"not one of the choices{hint(str(raw), options, 'choices')}") from None


def _literal_hook(cls: Any) -> Callable[[Any, Any], Any]:
    options = get_args(cls)

    def hook(raw: Any, _: Any) -> Any:
        if isinstance(raw, Placeholder):
            return options[0]
        if any(raw == option and type(raw) is type(option) for option in options):
            return raw
        raise Unfit(f"not one of the choices{hint(str(raw), map(str, options), 'choices')}")

    return hook


def _union_hook(cls: Any) -> Callable[[Any, Any], Any]:
    members = [member for member in get_args(cls) if member is not NoneType]
    nullable = NoneType in get_args(cls)

    def hook(raw: Any, _: Any) -> Any:
        if raw is None and nullable:
            return None
        if len(members) == 1:
            return converter.structure(raw, members[0])
        fitting = [member for member in members if _has_shape(raw, member)]
        for member in fitting:
            try:
                return converter.structure(raw, member)
            except Exception as error:  # the next member may take it; the last one explains
                failure = error
        if not fitting:
            raise Unfit(f"expected {' or '.join(map(_type_name, members))}, got {kind(raw)}")
        raise failure

    return hook


def _has_shape(raw: Any, cls: Any) -> bool:
    """Tell whether raw is the kind of JSON value that `cls` is built from."""
    origin = get_origin(cls) or cls
    if isinstance(raw, Mapping):
        return attrs.has(origin) or _is_mapping(origin) or origin in (ValueSpec, Value)
    if isinstance(raw, list | tuple):
        return _is_sequence(origin) or origin in (ValueSpec, Value)
    return not (_is_mapping(origin) or _is_sequence(origin))


def _type_name(cls: Any) -> str:
    names = {str: "a string", Secret: "a string", bool: "a boolean", int: "a number"}
    origin = get_origin(cls) or cls
    if origin in names or origin is float:
        return names.get(origin, "a number")
    return "a list" if _is_sequence(origin) else "an object"


def _is_sequence(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, list | tuple | set | frozenset)


def _is_mapping(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, Mapping)


def _list_hook(cls: Any) -> Callable[[Any, Any], Any]:
    origin, args = get_origin(cls) or cls, get_args(cls) or (Any,)
    fixed = origin is tuple and Ellipsis not in args

    def hook(raw: Any, _: Any) -> Any:
        if not isinstance(raw, list | tuple):
            raise Unfit(f"expected a list, got {kind(raw)}")
        if fixed and len(raw) != len(args):
            raise Unfit(f"expected exactly {len(args)} items, got {len(raw)}")
        types = args if fixed else [args[0]] * len(raw)
        return origin(_structure_items(zip(range(len(raw)), raw, types, strict=True)).values())

    return hook


def _mapping_hook(cls: Any) -> Callable[[Any, Any], Any]:
    item = (get_args(cls) or (str, Any))[1]

    def hook(raw: Any, _: Any) -> Any:
        if not isinstance(raw, Mapping):
            raise Unfit(f"expected an object, got {kind(raw)}")
        return _structure_items((key, value, item) for key, value in raw.items())

    return hook


def _structure_items(items: Any) -> dict[Any, Any]:
    structured, errors = {}, []
    for key, value, cls in items:
        try:
            structured[key] = _part(value, cls, key)
        except Exception as error:  # see _structure_class
            errors.append(_at(error, key))
    if errors:
        raise ClassValidationError("items", errors, dict)
    return structured


def _value_hook(raw: Any, _: Any) -> Value:
    if isinstance(raw, Value):
        return raw
    spec = converter.structure(raw, ValueSpec)
    try:
        return Value(spec, _place.get())
    except ConfigError as error:  # a callable that cannot be called with a value
        raise Unfit("; ".join(problem.message for problem in error.problems)) from error


def _spec_hook(raw: Any, _: Any) -> ValueSpec:
    if isinstance(raw, ValueSpec):
        return raw
    if isinstance(raw, str):
        if raw.startswith(CODE_PREFIX):
            raise Unfit(CODE_ADVICE)
        return PathSpec(raw)
    if isinstance(raw, list | tuple):
        return AlternativesSpec(converter.structure(raw, tuple[ValueSpec, ...]))
    if isinstance(raw, Mapping):
        return converter.structure(raw, ObjectSpec)
    raise Unfit(f"expected a path, a list of alternatives or an object, got {kind(raw)}")


def _consent_hook(raw: Any, _: Any) -> dict[str, bool]:
    """Truthy is granted, as in walkerOS; but a string is a mistake: "false" would grant."""
    if not isinstance(raw, Mapping):
        raise Unfit(f"expected an object of consent keys, got {kind(raw)}")
    errors = [
        _at(Unfit(f"expected true or false, got {kind(value)}"), key)
        for key, value in raw.items()
        if not (value is None or isinstance(value, bool | int | float))
    ]
    if errors:
        raise ClassValidationError("consent", errors, dict)
    return {key: bool(value) for key, value in raw.items()}


def _callable_hook(raw: Any, _: Any) -> Callable[..., Any]:
    if callable(raw):
        return raw  # type: ignore[no-any-return]  # callable() does not narrow Any
    if isinstance(raw, str):
        return load_callable(raw)
    raise Unfit(f'expected a callable, written "module:name", got {kind(raw)}')


# --- errors to places ------------------------------------------------------------------------


def _at(error: Exception, key: str | int) -> Exception:
    error.add_note(IterableValidationNote("", key, None))
    return error


def _problems(error: Exception, path: str) -> Iterator[Problem]:
    """Walk the exceptions to the mistakes in them, each with its place."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, IterableValidationNote):
            path = join(path, note.index)
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            yield from _problems(inner, path)
    else:
        yield Problem(path, str(error) or type(error).__name__)


# --- the converter ---------------------------------------------------------------------------


def _make_converter() -> Converter:
    made = Converter(detailed_validation=True)
    factories: list[tuple[Callable[[Any], bool], Callable[[Any], Any]]] = [
        (attrs.has, _class_hook),
        (lambda cls: _is_sequence(get_origin(cls) or cls), _list_hook),
        (lambda cls: _is_mapping(get_origin(cls) or cls), _mapping_hook),
        (lambda cls: get_origin(cls) in (Union, UnionType), _union_hook),
        (lambda cls: get_origin(cls) is Literal, _literal_hook),
    ]
    for predicate, factory in factories:
        made.register_structure_hook_factory(predicate, factory)
    plain: list[tuple[type, Callable[[Any, Any], Any]]] = [
        (str, _scalar_hook(str, (str,), "a string")),
        (Secret, _scalar_hook(Secret, (str,), "a string")),
        (bool, _scalar_hook(bool, (bool,), "true or false")),
        (int, _scalar_hook(int, (int,), "a whole number")),
        (float, _scalar_hook(float, (int, float), "a number")),
    ]
    for cls, hook in plain:
        made.register_structure_hook(cls, hook)
    exact: list[tuple[Callable[[Any], bool], Callable[[Any, Any], Any]]] = [
        (lambda cls: isinstance(cls, type) and issubclass(cls, Enum), _enum_hook),
        (lambda cls: cls == Consent, _consent_hook),
        (lambda cls: cls is ValueSpec, _spec_hook),
        (lambda cls: cls is Value, _value_hook),
        (lambda cls: AbstractCallable in (cls, get_origin(cls)), _callable_hook),
    ]
    for matches, hook in exact:
        made.register_structure_hook_func(matches, hook)
    return made


converter: Final = _make_converter()
"""The one converter; a plugin's package may register hooks for types of its own."""
