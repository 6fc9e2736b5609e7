"""What each command of `backstop` does; the arguments and the exit codes stand in `streams/cli.py`."""
