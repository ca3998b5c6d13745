"""From cases or photographs to batches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from polycontrast.data.batches import Dataset
from polycontrast.data.cache import Entry
from polycontrast.data.configs import AnyData, DataConfig, PatchConfig

Source = Sequence[Entry] | Sequence[Sequence[Entry]] | Path | Sequence[Path]


def open_dataset(config: AnyData, source: Source, seed: int = 0, batch: int = 1) -> Dataset[Any]:
    """The data set that a recipe trains on.

    source: cached cases; a list of them per cohort where `config.labels` is set; a folder for photographs, or one for
    each labelled set of them. batch: the size of a batch over all ranks, by which cohorts and sets alternate.
    """
    from polycontrast.data.dataset import SliceDataset

    if isinstance(config, DataConfig) and config.labels:
        from polycontrast.data.labelled import LabelledSlices

        return LabelledSlices(cast(Sequence[Entry] | Sequence[Sequence[Entry]], source), config, batch, seed)
    if isinstance(config, DataConfig):
        return SliceDataset(cast(Sequence[Entry], source), config, seed)
    if isinstance(config, PatchConfig):
        from polycontrast.data.patches import PatchDataset

        return PatchDataset(cast(Sequence[Entry], source), config, seed)
    from polycontrast.data.images import PhotoDataset

    return PhotoDataset(config, cast(Path | Sequence[Path], source), seed, batch)
