"""The group that holds the commands."""

import click

from asyncauth.cli._keys import keys
from asyncauth.cli.demo import demo


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="asyncauth")
def app() -> None:
    """Shared tokens for asyncio services: one renewal per expiry."""


app.add_command(demo)
app.add_command(keys)
