"""`python -m saetask` and the command `saetask`, which an interrupt ends in one line at once."""

import sys


def main() -> int:
    """Runs the command line of this process and returns its exit code."""
    try:
        from saetask.cli.main import main as run_command
    except KeyboardInterrupt:
        print("saetask: interrupted.", file=sys.stderr)
        return 130
    return run_command()


if __name__ == "__main__":
    sys.exit(main())
