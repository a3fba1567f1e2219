"""What values of attrs have in common, written once."""

import attrs


@attrs.frozen(eq=False, repr=False, weakref_slot=False)
class Value:
    """Compares, hashes and shows values by their fields, as what attrs writes for each class does.

    attrs compiles it anew whenever a class is imported: that took half of the time of our import. So classes
    made of this one say `eq=False, repr=False`. What is looked up on each request (`TokenKey`) leaves it to
    attrs, which is faster then.
    """

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [field.name for field in attrs.fields(type(self)) if field.eq]
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def __hash__(self) -> int:
        fields = attrs.fields(type(self))
        hashed = [field.name for field in fields if (field.eq if field.hash is None else field.hash)]
        return hash((type(self), *[getattr(self, name) for name in hashed]))

    def __repr__(self) -> str:
        fields = [field for field in attrs.fields(type(self)) if field.repr]
        shown = ", ".join(f"{field.alias}={getattr(self, field.name)!r}" for field in fields)
        return f"{type(self).__qualname__}({shown})"
