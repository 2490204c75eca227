"""`python -m dbbench`, where the script is not on the PATH."""

from dbbench.cli.app import main

main()
