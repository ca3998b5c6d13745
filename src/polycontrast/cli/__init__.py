"""The command line: one small file per verb. Nothing here imports torch before a verb needs it."""

import atexit
import gc
import importlib
import io
import sys
import traceback
from typing import Annotated

import typer

from polycontrast import __version__
from polycontrast.errors import EXIT_FAULT, EXIT_USER, UserError, in_words

app = typer.Typer(
    help="Synthesises the MRI contrasts a patient lacks from the ones there are. Research only, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

VERBS = ("check", "split", "train", "calibrate", "synth", "eval", "compare", "demo", "import-weights")

for verb in VERBS:
    module = importlib.import_module(f"polycontrast.cli.{verb.replace('-', '_')}_verb")
    app.command(verb)(module.run)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"polycontrast {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of user errors too.")] = False,
) -> None:
    _state["debug"] = debug


_state = {"debug": False}


def main() -> None:
    """Run the command line; a UserError is printed in words and exits with 2."""
    atexit.register(gc.freeze)  # else Python, on its way out, looks through all of torch's objects: half a second
    for stream in (sys.stdout, sys.stderr):  # what it cannot show (an arrow, in Latin-1) must not end hours of work
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except (UserError, PermissionError) as error:
        if _state["debug"]:
            traceback.print_exc()
        print(f"error: {in_words(error)}", file=sys.stderr)
        sys.exit(EXIT_USER)
    except Exception:
        traceback.print_exc()
        print(
            "This is a fault of polycontrast, not of your input. Please report it with the lines above.",
            file=sys.stderr,
        )
        sys.exit(EXIT_FAULT)
