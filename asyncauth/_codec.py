"""A record as bytes: JSON, with its format named."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from cattrs.preconf.json import make_converter

from asyncauth._record import Record
from asyncauth._token import Secret

FORMAT = 1

# Validation details quote the values that they are about, which are secrets here.
_converter = make_converter(omit_if_default=True, detailed_validation=False)
_converter.register_unstructure_hook(Secret, Secret.reveal)
_converter.register_structure_hook(Secret, lambda value, _: Secret(str(value)))
_converter.register_structure_hook_func(lambda kind: kind == Mapping[str, Any], lambda value, _: dict(value))
_converter.register_unstructure_hook_func(lambda kind: kind == Mapping[str, Any], dict)


class UnreadableError(ValueError):
    """The bytes are no record of a known format."""


def encode(record: Record) -> bytes:
    """Return the bytes that a store keeps for a record."""
    fields = _converter.unstructure(record)
    return json.dumps({"format": FORMAT, **fields}, separators=(",", ":")).encode()


def _shared(fields: dict[str, Any]) -> dict[str, Any]:
    """Have equal times of a record there once, and what is the same in all records of a process."""
    inner = (part for part in fields.values() if isinstance(part, dict))
    times: dict[int, int] = {time: time for part in inner for time in part.values() if type(time) is int}
    for name, value in fields.items():
        if type(value) is int:
            fields[name] = times.setdefault(value, value)
        elif name in {"incarnation", "token_type"} and type(value) is str:
            fields[name] = sys.intern(value)
    return fields


def decode(data: bytes) -> Record:
    """Return the record that `encode` made bytes of.

    Raises:
        UnreadableError: It is something else; the message shows nothing of it.
    """
    try:
        fields = json.loads(data, object_hook=_shared)
        known = fields.pop("format") == FORMAT
        record = _converter.structure(fields, Record) if known else None
    except Exception:  # noqa: BLE001 - whatever the bytes provoke, they are no record
        raise UnreadableError("the stored record is truncated or not a record of asyncauth") from None
    if record is None:
        raise UnreadableError("the stored record has a format of a newer asyncauth: upgrade this worker")
    return record
