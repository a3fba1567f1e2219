"""The command line: `asyncauth demo`, and `asyncauth --help` for the rest. It needs the extra `cli`."""

import sys

_OPTIONAL = {"click", "rich"}


def main() -> None:
    """Run the command line; the entry point of `asyncauth`."""
    try:
        from asyncauth.cli._app import app  # noqa: PLC0415 - so that a missing extra gets a friendly word

        app()
    except ModuleNotFoundError as error:
        if error.name not in _OPTIONAL:
            raise
        sys.exit("the asyncauth command needs two more packages: pip install 'asyncauth[cli]'")
    except KeyboardInterrupt:
        sys.exit(130)
