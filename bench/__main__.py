"""`python -m bench` is `fourways`."""

from bench.cli.app import main

main()
