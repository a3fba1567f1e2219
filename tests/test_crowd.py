"""Tasks that wait for the same moment."""

import asyncio

from asyncauth._crowd import Crowd
from asyncauth.testing import settle


async def test_all_go_on_at_the_release_but_those_who_have_left() -> None:
    crowd = Crowd()
    tasks = [asyncio.create_task(crowd.released()) for _ in range(10)]
    await settle()
    for task in tasks[::2]:
        task.cancel()
    crowd.release()
    await settle()

    assert [task.cancelled() for task in tasks] == [True, False] * 5
    assert all(task.done() for task in tasks)


async def test_who_comes_after_a_release_waits_for_the_next_one() -> None:
    crowd = Crowd()
    crowd.release()
    task = asyncio.create_task(crowd.released())
    await settle()
    assert not task.done()
    crowd.release()
    await task
