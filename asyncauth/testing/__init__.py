"""What tests of asyncauth's users need: a manual clock, the store conformance suite, emulators."""

from asyncauth.testing._clock import ManualClock as ManualClock
from asyncauth.testing._clock import settle as settle

__all__ = ["ManualClock", "settle"]
