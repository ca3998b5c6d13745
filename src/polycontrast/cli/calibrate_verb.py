"""polycontrast calibrate: how wide a model's intervals must be, from patients that it has not seen."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    model: Annotated[Path, typer.Option(help="The run folder; its config.json is completed.")],
    data: Annotated[Path, typer.Option(help="Folder or CSV of cases.")],
    split: Annotated[Path | None, typer.Option(help="JSON of roles; without it every case is taken.")] = None,
    role: Annotated[
        str | None, typer.Option(help="The role to calibrate on, not the one that was trained on; train by default.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Cases at a time: for a GPU; on a CPU one takes all cores.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda[:N] or mps.")] = "auto",
    cache: Annotated[Path | None, typer.Option(help="Where normalised volumes are kept; ~/.cache by default.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Fit the confidence of a trained model: intervals that hold 50, 80 and 95 % of the real values."""
    from polycontrast.cli.names import check_role
    from polycontrast.device import choose, keep_memory
    from polycontrast.infer.synthesizer import Synthesizer
    from polycontrast.workflows.calibrate import calibrate, check
    from polycontrast.workflows.cohort import cached_cases, cases_of

    check_role(role, split)
    role = role or "train"
    keep_memory()
    loaded = Synthesizer.load(model, choose(device))
    check(model, loaded, [case.id for case in cases_of(data, split, role)])  # before anything is read
    contrasts = loaded.config.recipe.data.contrasts
    entries = cached_cases(data, split, role, contrasts, cache, quiet=quiet)
    confidence = calibrate(model, entries, loaded, threads, (lambda _: None) if quiet else typer.echo)
    typer.echo(f"{len(confidence)} ways calibrated: {model / 'config.json'}")
