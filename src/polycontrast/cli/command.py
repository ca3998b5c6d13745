"""What was typed, for reports."""


def command() -> str:
    """The command line as it can be typed again, without the folder that the program lies in."""
    import shlex
    import sys

    return shlex.join(["polycontrast", *sys.argv[1:]])
