"""`python -m asyncauth.cli` is the command `asyncauth`."""

from asyncauth.cli import main

main()
