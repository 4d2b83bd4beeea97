"""Are the arguments of a call what the tool's schema asks for? Said in words that a model can act on.

Only what decides whether a tool can run is checked: required and unknown names, the types and choices of the top level.
The tool itself judges the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfgrpo.system.untrusted_json import fault_of, loads

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def read_arguments(text: str, schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the arguments in `text` and what is wrong with them; '' when nothing is.

    Line breaks inside of strings are taken as they are: models send code that way.
    """
    try:
        found = loads(text or "{}", strict=False)
    except ValueError as error:
        return {}, f"the arguments are not valid JSON ({fault_of(error)})"
    if not isinstance(found, dict):
        return {}, f"the arguments are a JSON {_kind(found)}, not an object"
    return found, argument_fault(found, schema)


def argument_fault(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Say what is wrong with parsed arguments; '' when nothing is."""
    known: Mapping[str, Any] = schema.get("properties") or {}
    lacking = [name for name in schema.get("required") or () if name not in arguments]
    if lacking:
        return f"{_listed(lacking)} is missing; the arguments are {_listed(known) or 'none'}"
    unknown = [name for name in arguments if name not in known]
    if unknown and schema.get("additionalProperties") is False:
        return f"there is no argument {_listed(unknown)}; there are {_listed(known) or 'none'}"
    for name, value in arguments.items():
        if wrong := _wrong(value, known.get(name)):
            return f"{name!r} {wrong}"
    return ""


def _wrong(value: Any, wanted: Any) -> str:
    if not isinstance(wanted, Mapping):
        return ""
    if "enum" in wanted and value not in wanted["enum"]:
        return f"is {value!r}; it is one of {_listed(wanted['enum'])}"
    named = wanted.get("type")
    names = [named] if isinstance(named, str) else list(named or ())
    allowed = tuple(kind for name in names for kind in _TYPES.get(name, (object,)))
    if not allowed or object in allowed:
        return ""
    # True is an int in Python and not in JSON.
    fits = isinstance(value, allowed) and (not isinstance(value, bool) or bool in allowed)
    return "" if fits else f"is a JSON {_kind(value)}, not {' or '.join(names)}"


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    return next((name for name, kinds in _TYPES.items() if isinstance(value, kinds)), type(value).__name__)


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names)
