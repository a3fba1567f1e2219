"""What tests of asyncauth's users need: a manual clock, the store conformance suite, emulators."""

from asyncauth.testing._clock import ManualClock as ManualClock
from asyncauth.testing._clock import settle as settle
from asyncauth.testing._conformance import STORE_CHECKS as STORE_CHECKS
from asyncauth.testing._conformance import check_token_store as check_token_store
from asyncauth.testing._promise import StoreCheck as StoreCheck
from asyncauth.testing._promise import StoreFactory as StoreFactory

__all__ = ["STORE_CHECKS", "ManualClock", "StoreCheck", "StoreFactory", "check_token_store", "settle"]
