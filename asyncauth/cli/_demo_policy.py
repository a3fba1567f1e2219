"""The durations of a demo in which tokens live two seconds."""

from typing import Final

import attrs

from asyncauth._policy import RefreshPolicy

LIFE: Final = 2.0
"""Seconds that the demo's tokens live."""

# Scaled to the tokens' life, except where the limit is for slow machines: many processes on few cores
# may let one wait for a second, and a store or a vendor that is merely slow is no outage.
POLICY: Final = RefreshPolicy(
    lease=2.5,
    heartbeat=0.4,
    store_timeout=2,
    request_timeout=3,
    quiet=1,
    grace=4,
    quarantine=6.5,
    wait=10,
    audit=5,
    early_min=0.8,
    early_pause=0.2,
    backoff_first=0.2,
    backoff_max=2,
    unreachable_share=0.5,
    loop_guard=0.5,
    probe_first=5,
)

YOUNG: Final = 0.9
"""For so many seconds after its issue no worker asks for a token's renewal."""

_DEFAULTS: Final = attrs.asdict(RefreshPolicy())


def changed_durations() -> dict[str, float]:
    """Return the durations that differ from the defaults, in seconds."""
    return {name: value for name, value in attrs.asdict(POLICY).items() if value != _DEFAULTS[name]}


def policy_line() -> str:
    """Say in one line what the policy is, and why."""
    durations = ", ".join(f"{name} {value:g}" for name, value in changed_durations().items())
    return f"Policy for tokens that live {LIFE:g} s (in seconds): {durations}"
