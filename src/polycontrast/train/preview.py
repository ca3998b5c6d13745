"""A picture of what a system makes of a few training samples."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polycontrast import pictures
from polycontrast.data.batches import Dataset
from polycontrast.data.configs import AnyData, PhotoConfig
from polycontrast.systems.base import System


def preview(system: System, dataset: Dataset[Any], path: Path, rows: int = 4) -> None:
    """A row per sample: what is given, then each target as synthesised and, if known, as it is (or, where no sample
    holds both, as it is of another). Raises UserError if no sample shows what the system may be given."""
    batch, cases = dataset.examples(rows, system.have)
    truth = "real" if dataset.whole else "of another"
    device = next(system.players[system.synthesizers[0]].parameters()).device
    names = dataset.config.contrasts
    shown = [name for name, real in zip(names, batch.present.all(dim=0).tolist(), strict=True) if real]
    have = system.sources([name for name in shown if name in (system.usual or shown)])
    given = batch.images[:, [names.index(c) for c in have]]
    want = system.targets(have)
    fake, _ = system.synthesize(given.to(device), have, want)
    columns = {name: given[:, i] for i, name in enumerate(have)}
    for i, name in enumerate(want):
        columns[f"{name} synthetic"] = fake[:, i].cpu()
        if name in shown:
            columns[f"{name} {truth}"] = batch.images[:, names.index(name)]
    images = torch.stack([_flat(x, dataset.config) for x in columns.values()], dim=1)
    fakes = [label for label in columns if label.endswith("synthetic")]
    title = f"training samples after {path.stem.lstrip('0') or 0} images"
    brightness = ((images + 1) / 2).numpy().astype(np.float32)
    photographs = isinstance(dataset.config, PhotoConfig)
    pictures.preview(path, brightness, cases, list(columns), title, synthetic=fakes, photographs=photographs)


def _flat(images: Tensor, data: AnyData) -> Tensor:
    """[B, K, H, W] -> what a picture shows: the middle slice [B, H, W], or, of three colours, [B, H, W, 3]."""
    if data.dims == 3:
        return images[..., images.shape[-1] // 2]
    colour = isinstance(data, PhotoConfig) and data.channels == 3
    return images.movedim(1, -1) if colour else images[:, images.shape[1] // 2]
