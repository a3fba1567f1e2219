"""A record as bytes: JSON, with its format named."""

import json
import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from asyncauth._record import Record
from asyncauth._token import Secret

if TYPE_CHECKING:
    from cattrs import Converter

FORMAT = 1


def prepare() -> None:
    """Get ready to encode and decode, so that no request waits for it."""
    converter = _converter()
    # cattrs compiles what it needs for a class at first use.
    converter.get_structure_hook(Record)
    converter.get_unstructure_hook(Record)


@cache
def _converter() -> "Converter":
    # Not above: it takes as long to import as a third of this package.
    from cattrs.preconf.json import make_converter  # noqa: PLC0415

    # Validation details quote the values that they are about, which are secrets here.
    converter = make_converter(omit_if_default=True, detailed_validation=False)
    converter.register_unstructure_hook(Secret, Secret.reveal)
    converter.register_structure_hook(Secret, lambda value, _: Secret(str(value)))
    converter.register_structure_hook_func(
        lambda kind: kind == Mapping[str, Any], lambda value, _: dict(value)
    )
    converter.register_unstructure_hook_func(lambda kind: kind == Mapping[str, Any], dict)
    return converter


class UnreadableError(ValueError):
    """The bytes are no record of a known format."""


def encode(record: Record) -> bytes:
    """Return the bytes that a store keeps for a record."""
    fields = _converter().unstructure(record)
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
        record = _converter().structure(fields, Record) if known else None
    except Exception:  # noqa: BLE001 - whatever the bytes provoke, they are no record
        raise UnreadableError("the stored record is truncated or not a record of asyncauth") from None
    if record is None:
        raise UnreadableError("the stored record has a format of a newer asyncauth: upgrade this worker")
    return record
