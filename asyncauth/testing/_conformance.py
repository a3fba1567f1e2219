"""The conformance suite that every token store passes, ours and anybody's."""

from asyncauth.testing._promise import StoreCheck, StoreFactory
from asyncauth.testing._promises_following import FOLLOWING_CHECKS
from asyncauth.testing._promises_life import LIFE_CHECKS
from asyncauth.testing._promises_values import VALUE_CHECKS
from asyncauth.testing._promises_waiting import WAITING_CHECKS

STORE_CHECKS: tuple[StoreCheck, ...] = (*VALUE_CHECKS, *WAITING_CHECKS, *FOLLOWING_CHECKS, *LIFE_CHECKS)
"""Every check of the suite, for a test runner that reports them one by one.

```python
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_my_store(check: StoreCheck) -> None:
    await check(open_my_store)
```
"""


async def check_token_store(factory: StoreFactory) -> None:
    """Check every promise of `asyncauth.abc.TokenStore`, one after the other, in a few seconds.

    The checks wait in real time, each at most ten seconds: give the stores a real clock. What they write
    stays in the place that the factory opens.

    Args:
        factory: Opens handles on one and the same place; called often.

    Raises:
        AssertionError: A promise is broken; the message names it and says how.
    """
    for check in STORE_CHECKS:
        await check(factory)
