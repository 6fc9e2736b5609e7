"""Where `backstop` begins: from here on Ctrl-C is one line and exit code 130, while the rest is being imported and until the process is gone."""

import os
import signal
import sys

INTERRUPTED = 130  # as in streams/errors.py, which is not imported yet


def main() -> int:
    """Run the command line; returns its exit code, except after an interrupt, which ends the process here."""
    try:
        from streams.cli import main as run  # noqa: PLC0415 - an interrupt may come while this is imported

        code = run()
    except KeyboardInterrupt:
        sys.stderr.write("backstop: interrupted\n")
        code = INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left is the end of the interpreter, which would print a traceback
    if code == INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # an interpreter that an interrupt has passed through kills itself with the signal instead of giving a code
    return code


if __name__ == "__main__":
    sys.exit(main())
