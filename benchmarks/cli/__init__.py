"""The command line ``naswild``. Only typer is imported here; each command imports what it needs when it runs."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point: run the command; an error that the user can fix is one message on stderr and exit code 2."""
    from benchmarks.own_packages import ForeignPackage, require_own_packages

    try:
        require_own_packages()
    except ForeignPackage as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    from benchmarks.cli.app import app
    from nas.errors import NaswildError

    try:
        app(prog_name="naswild")
    except NaswildError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output, head say, has gone
        sys.exit(1)
