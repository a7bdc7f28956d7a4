"""``python -m bench``: see ``python -m bench --help``."""

from bench.cli.app import main

main()
