"""`asyncauth demo`: the main job, before your eyes."""

import asyncio
import json
import sys

import click
from rich.console import Console

from asyncauth._errors import AuthError
from asyncauth.cli._demo_parent import Options, View, conduct
from asyncauth.cli._demo_policy import policy_line
from asyncauth.cli._demo_report import Report
from asyncauth.cli._demo_view import LinesView, TableView, terminal
from asyncauth.cli._demo_words import document, figures, summary, verdict

_INTERRUPTED = 130


@click.command()
@click.option("--store", metavar="URL", help="Where to share tokens, such as redis://localhost:6379/0.")
@click.option(
    "--workers", type=click.IntRange(2, 64), default=4, show_default=True, help="How many processes."
)
@click.option(
    "--seconds", type=click.FloatRange(5, 3600), default=10, show_default=True, help="How long they work."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end, and nothing else.")
def demo(store: str | None, workers: int, seconds: float, *, as_json: bool) -> None:
    """Let several processes share tokens that live two seconds.

    Emulators of ClicRDV, Simplicité, Cronofy, ITCare and CareCloud with seven ways to log in, one of a
    rotating OAuth 2 server, and all workers run on this machine. Halfway one worker is killed in the
    middle of a renewal: with files the others see it die, with Redis its lease has to end first. Tokens
    are kept in encrypted files in a temporary folder, or in the store of --store under a namespace of
    their own; nothing is left behind.

    The exit status is 0 if there was one renewal per expiry and no request failed, else 1.
    """
    try:
        report, shown = _run(Options(store, workers, seconds), as_json=as_json)
    except AuthError as error:
        raise click.ClickException(str(error)) from error
    except (asyncio.CancelledError, KeyboardInterrupt):
        click.echo("Interrupted; everything is cleaned up.", err=True)
        sys.exit(_INTERRUPTED)
    if as_json:
        print(json.dumps(document(report, store=shown, workers=workers, seconds=seconds), indent=2))
    elif not sys.stdout.isatty():
        _print_lines(report)
    sys.exit(0 if report.ok else 1)


def _run(options: Options, *, as_json: bool) -> tuple[Report, str]:
    if as_json:
        return _conduct(options, LinesView(sys.stderr if sys.stderr.isatty() else None))
    if not sys.stdout.isatty():
        return _conduct(options, LinesView(sys.stdout))
    console = terminal()
    with TableView(console) as view:
        report, shown = _conduct(options, view)
    _print_words(console, report)
    return report, shown


def _conduct(options: Options, view: View) -> tuple[Report, str]:
    return asyncio.run(conduct(options, view))


def _print_lines(report: Report) -> None:
    for line in (*figures(report), *report.notes, *summary(report), policy_line(), *verdict(report)):
        print(line)


def _print_words(console: Console, report: Report) -> None:
    for note in report.notes:
        console.print(note, style="yellow", markup=False)
    for paragraph in summary(report):
        console.print(paragraph, markup=False)
    console.print(policy_line(), style="dim", markup=False)
    console.print()
    for line in verdict(report):
        console.print(line, style="bold green" if report.ok else "bold red", markup=False)
