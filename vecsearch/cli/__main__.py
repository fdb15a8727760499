"""`python -m vecsearch.cli` is the same as `vecsearch`."""

from vecsearch.cli.main import main

main()
