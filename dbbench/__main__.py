"""The program, as `dbbench` and as `python -m dbbench`.

Imports take half a second, in which Python would answer Ctrl-C with a traceback. Until a command begins, it just ends.
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as under nohup
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Run the program."""
    from dbbench.cli.streams import open_closed

    open_closed()
    from dbbench.cli.app import app

    app()


if __name__ == "__main__":
    main()
