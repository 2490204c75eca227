"""The command line: one file for each command. Only this package exits."""

from dbbench.cli.app import main

__all__ = ["main"]
