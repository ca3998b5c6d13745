"""The one exception that means "the input is wrong": what was wrong, in which file, and what to do.

The command line prints it without a traceback and exits with code 2.
"""

from pathlib import Path

EXIT_DONE = 0
EXIT_FAULT = 1  # our fault: a traceback is shown
EXIT_USER = 2  # the user's input or arguments
EXIT_SOME_FAILED = 3  # some cases of a cohort failed; failures.csv says which


class UserError(Exception):
    """Bad input, told in words.

    message: what was found and what was expected.
    hint: what to do about it.
    path: the file or folder concerned, printed first.
    """

    def __init__(self, message: str, hint: str = "", path: str | Path | None = None) -> None:
        self.message = message
        self.hint = hint
        self.path = None if path is None else Path(path)
        super().__init__(message)

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path is not None else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text


def in_words(error: UserError | PermissionError) -> UserError:
    """The error, or what the system forbade."""
    if isinstance(error, UserError):
        return error
    return UserError("permission denied", "ask who owns it, or use another folder", path=error.filename)


class CaseFault(UserError):
    """A fault of ours that ended one of several cases: told among the failures, while the others go on. `__cause__` is
    what was raised."""
