"""The training log: metrics.jsonl is the truth, progress.png and TensorBoard mirror it."""

import json
from pathlib import Path
from typing import Any

from polycontrast import pictures
from polycontrast.errors import UserError
from polycontrast.io.files import atomic_write


class Log:
    """Means of every term since the last record, appended to RUN/metrics.jsonl.

    A record holds `images`, `updates`, `seconds`, the phase that comes next and every term's mean.
    """

    def __init__(self, run: Path, tensorboard: bool = False) -> None:
        self.file, self.picture = run / "metrics.jsonl", run / "progress.png"
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self._mirror = require_tensorboard()(str(run / "tensorboard")) if tensorboard else None

    def add(self, terms: dict[str, float]) -> None:
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        return {name: self.sums[name] / self.counts[name] for name in self.sums}

    def write(self, clock: dict[str, Any]) -> dict[str, Any]:
        """Append one record and start anew."""
        record = {**clock, **self.means()}
        try:
            with self.file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(record) + "\n")
        except OSError as error:
            hint = "free some disk space and go on with --resume"
            raise UserError(f"the log cannot be written: {error.strerror}", hint=hint, path=self.file) from None
        if self._mirror is not None:
            for name, value in record.items():
                if isinstance(value, float):
                    self._mirror.add_scalar(name, value, record["images"])
            self._mirror.flush()
        self.sums, self.counts = {}, {}
        return record

    def draw(self) -> None:
        """progress.png: every term against images seen."""
        if records := self.records():
            pictures.curves(self.picture, records)

    def records(self) -> list[dict[str, Any]]:
        if not self.file.exists():
            return []
        return [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()]

    def cut_back(self, images: float) -> None:
        """Forget what was logged after this many images: a resume starts from the checkpoint, not from the crash."""
        if not self.file.exists():
            return
        kept = []
        for line in self.file.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:  # the line that a kill cut short
                break
            if record["images"] <= images:
                kept.append(line)
        with atomic_write(self.file) as part:
            part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def require_tensorboard() -> Any:
    """TensorBoard's writer class, or a UserError if it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError("TensorBoard is not installed", hint='pip install "polycontrast[tensorboard]"') from None
    return SummaryWriter
