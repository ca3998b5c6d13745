"""The progress of a training: a bar with its ETA on a terminal, plain lines otherwise."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress:
    """Shows images seen out of `total`; `note` prints a record where there is no terminal."""

    def __init__(self, total: int, done: int, shown: bool) -> None:
        console = Console(stderr=True)
        self._lines = shown and not console.is_terminal
        self._console, self._total = console, total
        self._bar = RichProgress(
            TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("images"), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[terms]}"),
            console=console, disable=not shown or self._lines,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=total, completed=done, terms="")

    def update(self, images: int, means: Callable[[], dict[str, float]]) -> None:
        """Move the bar; the terms are asked for only where they are shown."""
        if not self._bar.disable:
            losses = {k: v for k, v in means().items() if k.endswith("_loss")}
            terms = "  ".join(f"{name} {value:.3g}" for name, value in losses.items())
            self._bar.update(self._task, completed=min(images, self._total), terms=terms)

    def note(self, record: dict[str, Any]) -> None:
        if self._lines:
            done = record["images"]
            left = record["seconds"] / done * max(0, self._total - done) if done else 0.0
            terms = "  ".join(f"{k} {v:.4g}" for k, v in record.items() if isinstance(v, float) and k != "seconds")
            self._console.print(
                f"{done}/{self._total} images  {record['seconds']:.0f} s  {left:.0f} s left  {terms}",
                soft_wrap=True, highlight=False,
            )  # fmt: skip

    def say(self, text: str) -> None:
        """A line that stays, if anything is shown at all."""
        if self._lines or not self._bar.disable:
            self._console.print(text, highlight=False, markup=False)

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
