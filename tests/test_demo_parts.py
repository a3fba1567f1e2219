"""Parts of the demo that need no fleet: its systems, the vendor that ends sessions, whom a kill may hit."""

import asyncio
import tempfile
from asyncio.subprocess import Process
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner

from asyncauth import schemes
from asyncauth._clock import SYSTEM_CLOCK
from asyncauth.cli import _demo_place, _demo_sessions
from asyncauth.cli._app import app
from asyncauth.cli._demo_fleet import Fleet, Member
from asyncauth.cli._demo_kill import Killer
from asyncauth.cli._demo_place import own_place
from asyncauth.cli._demo_policy import YOUNG
from asyncauth.cli._demo_report import Score
from asyncauth.cli._demo_schemes import ONE_TIME, SYSTEMS, systems
from asyncauth.cli._demo_sessions import SessionEnder
from asyncauth.cli._demo_vendors import running_vendors
from asyncauth.testing import settle
from asyncauth.testing.emulators import ClicRDVEmulator


async def test_the_demo_shows_each_vendors_schemes_and_rotating_oauth2() -> None:
    async with running_vendors() as vendors:
        shown = systems(vendors.settings())
        assert [system.name for system in shown] == list(SYSTEMS) == list(vendors.token_calls())
        assert {type(system.scheme) for system in shown} == {
            schemes.RefreshToken,
            schemes.ClicRDV,
            schemes.Simplicite,
            schemes.CronofyUser,
            schemes.CronofyApplication,
            schemes.ITCare,
            schemes.CareCloudEnterprise,
            schemes.CareCloudCustomer,
        }
        assert len({system.scheme.key for system in shown}) == len(shown)


async def test_who_cannot_log_in_is_authorized_beforehand() -> None:
    async with running_vendors() as vendors:
        needy = {system.name for system in systems(vendors.settings()) if not system.scheme.can_login}
        assert needy == set(ONE_TIME) == vendors.authorizations().keys()


async def test_a_system_is_given_its_first_token_or_asks_for_it() -> None:
    async with running_vendors() as vendors:
        for system in systems(vendors.settings()):
            given = system.scheme.constant is not None or system.name in ONE_TIME
            assert SYSTEMS[system.name].given is given


async def test_the_vendor_ends_a_session_again_when_the_fleet_has_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_demo_sessions, "LIFE", 0)
    vendor, score = ClicRDVEmulator(), Score()
    fleet, tally = Fleet(score), score.tallies["clicrdv"]
    ender = SessionEnder(vendor, fleet, score)
    task = asyncio.create_task(ender.run())
    await settle()
    assert not ender.waits
    for ended in range(3):
        vendor.open_session("pro", "pro@example.com", "production-apikey")
        tally.entries.add(f"entry {ended}")
        fleet.renewed.set()
        await settle()
        assert (ender.waits, vendor.sessions_alive, tally.ended) == (True, 0, ended)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


@pytest.mark.parametrize("old", [None, *ONE_TIME])
async def test_nobody_is_killed_who_may_be_about_to_spend_a_one_time_token(old: str | None) -> None:
    score = Score()
    fleet = Fleet(score)
    async with running_vendors() as vendors:
        killer = Killer(vendors, fleet, score, SYSTEM_CLOCK.monotonic())
        member = Member(number=1, process=cast("Process", None))
        member.under_way["itcare"] = 1
        assert not killer.is_calm(member)
        fleet.renewed_at = dict.fromkeys(ONE_TIME, SYSTEM_CLOCK.monotonic())
        assert killer.is_calm(member, YOUNG / 2)
        assert not killer.is_calm(member, YOUNG)
        if old is not None:
            fleet.renewed_at[old] -= YOUNG
        assert killer.is_calm(member) is (old is None)


@pytest.mark.parametrize("other", sorted(SYSTEMS.keys() - {"itcare"}))
async def test_nobody_is_killed_in_the_middle_of_another_token_call(other: str) -> None:
    score = Score()
    fleet = Fleet(score, renewed_at=dict.fromkeys(ONE_TIME, SYSTEM_CLOCK.monotonic()))
    async with running_vendors() as vendors:
        killer = Killer(vendors, fleet, score, SYSTEM_CLOCK.monotonic())
        member = Member(number=1, process=cast("Process", None))
        member.under_way.update(itcare=1)
        assert killer.is_calm(member)
        member.under_way[other] = 1
        assert not killer.is_calm(member)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("foo", "a store's URL starts with <scheme>://"),
        ("nowhere://hunter2", "no store for 'nowhere' URLs; known schemes"),
        ("redis://:a#hunter2@host", "encode the password"),
        ("redis://:a[hunter2@host", "cannot be read"),
        ("redis://host:hunter2", "no Redis URL"),
        ("redis://host?hunter2=1", "unknown options in the store's URL"),
    ],
)
def test_a_store_that_cannot_be_is_refused_before_it_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = CliRunner().invoke(app, ["demo", "--store", url])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert words in result.stderr
    assert "hunter2" not in result.output.replace("nowhere://hunter2", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:hunter2@host:1/2", "redis://host:1, namespace"),
        ("redis+sentinel://:hunter2@h1:1,h2:2/main", "redis+sentinel://h1:1,h2:2, namespace"),
        ("unix:///run/redis.sock?password=hunter2", "unix:///run/redis.sock, namespace"),
    ],
)
async def test_the_demo_shows_where_its_tokens_are_and_no_password(
    monkeypatch: pytest.MonkeyPatch, url: str, shown: str
) -> None:
    monkeypatch.setattr(_demo_place, "_PATIENCE", 0.0)  # nobody is there whose records could be removed
    async with own_place(url) as place:
        assert place.shown.startswith(shown)
        assert "hunter2" not in f"{place}"
