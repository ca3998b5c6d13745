"""Single images that are told their kind: slices of one or several cohorts whose contrasts may differ (StarGAN)."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from polycontrast.data.batches import Alternating, Batch, Dataset, Outputs, Units, told
from polycontrast.data.cache import Entry
from polycontrast.data.configs import DataConfig
from polycontrast.data.dataset import Sample, SliceDataset, read_sample
from polycontrast.data.slabs import Place, places
from polycontrast.data.units import fit_units
from polycontrast.errors import UserError

Shown = tuple[Place, int]  # one image: case and slice, and which of all labels it shows


class LabelledSlices(Dataset[DataConfig]):
    """One contrast of one slice per sample, with its label, from the cohorts whose contrasts `config.labels` lists.

    source: a sequence of cached cases per cohort; if there is but one cohort, its cases. A case that lacks some of its
    cohort's contrasts gives the others; one that has none, or lacks the segmentation where one is needed, is left out.

    The cohorts alternate by batch of `batch_size` (see `Alternating`). targets: the label of another image of the
    cohort.
    """

    def __init__(
        self,
        source: Sequence[Entry] | Sequence[Sequence[Entry]],
        config: DataConfig,
        batch_size: int = 1,
        seed: int = 0,
    ) -> None:
        self.config, self.seed = config, seed
        cohorts = _cohorts(source, config)
        useful = [
            [e for e in cohort if set(names) & set(e.contrasts) and (e.segmented or not config.lesion)]
            for cohort, names in zip(cohorts, config.labels, strict=True)
        ]
        self._cohorts = useful
        self.entries = [e for cohort in useful for e in cohort]
        self.left_out = tuple(e.id for all_, some in zip(cohorts, useful, strict=True) for e in all_ if e not in some)
        self._names = tuple(name for names in config.labels for name in names)
        self._known = told(config.labels)
        own = [known.nonzero().flatten().tolist() for known in self._known]
        self._shown: list[list[Shown]] = [
            [(place, k) for k in labels for place in places(cohort, (self._names[k],), config)]
            for cohort, labels in zip(useful, own, strict=True)
        ]
        self._turns = Alternating([len(shown) for shown in self._shown], batch_size, seed)

    @property
    def cases(self) -> tuple[str, ...]:
        return tuple(e.id for e in self.entries)

    def __len__(self) -> int:
        return sum(map(len, self._shown))

    def shown(self, index: int) -> tuple[int, Shown]:
        """The cohort of the sample with this global index, and the image that it shows."""
        cohort, place = self._turns(index)
        return cohort, self._shown[cohort][place]

    def target(self, index: int) -> int:
        """What to make of the sample: the label of an image of its cohort, each as likely."""
        cohort, place = self._turns.other(index)
        return self._shown[cohort][place][1]

    def sample(self, index: int) -> Sample:
        """images [1, K, H, W] float32, mask and lesion [1, K, H, W] bool."""
        place, label = self.shown(index)[1]
        return read_sample(place, replace(self.config, contrasts=(self._names[label],)), self.seed, index)

    def batch(self, indices: Sequence[int]) -> Batch:
        images, mask, lesion = (torch.stack(t) for t in zip(*map(self.sample, indices), strict=True))
        shown = [self.shown(i) for i in indices]
        cohorts = torch.tensor([cohort for cohort, _ in shown])
        return Batch(
            images,
            torch.ones(images.shape[:2], dtype=torch.bool),
            mask,
            lesion,
            tuple(indices),
            labels=self._one_hot([label for _, (_, label) in shown]),
            known=self._known[cohorts],
            targets=self._one_hot([self.target(i) for i in indices]),
            dataset=cohorts,
        )

    def _one_hot(self, labels: Sequence[int]) -> Tensor:
        return F.one_hot(torch.tensor(labels), len(self._names)).float()

    def _whole_slices(self, have: Collection[str]) -> SliceDataset:
        """Whole slices of the first cohort that has one of these contrasts (of the first, if none has), with the
        contrasts of its most complete case."""
        cohort, names = next(
            ((cohort, names) for cohort, names in zip(self._cohorts, self.config.labels, strict=True)
             if any(set(have) & set(names) & set(e.contrasts) for e in cohort)),
            (self._cohorts[0], self.config.labels[0]),
        )  # fmt: skip
        shown = [tuple(name for name in names if name in e.contrasts) for e in cohort]
        best = max(shown, key=lambda some: (bool(set(have) & set(some)), len(some)))
        return SliceDataset(cohort, replace(self.config, contrasts=best, labels=(), paired=True), self.seed)

    def examples(self, rows: int, have: Collection[str] = ()) -> tuple[Batch, list[str]]:
        """Whole slices of one cohort. What it lacks of all the contrasts is zero, and not `present`."""
        complete = self._whole_slices(have)
        some, cases = complete.examples(rows)
        shape = some.images.shape
        images = torch.zeros(shape[0], len(self.config.contrasts), *shape[2:])
        present = torch.zeros(images.shape[:2], dtype=torch.bool)
        where = [self.config.contrasts.index(name) for name in complete.config.contrasts]
        images[:, where], present[:, where] = some.images, True
        return replace(some, images=images, present=present), cases

    def units(self, outputs: Outputs | None = None) -> Units:  # noqa: ARG002
        """As of unpaired data: each contrast is fitted alone, on real images of the first cohort that has it."""
        fitted: Units = {}
        for cohort, names in zip(self._cohorts, self.config.labels, strict=True):
            new = tuple(name for name in names if name not in fitted)
            fitted |= fit_units(cohort, replace(self.config, contrasts=new, paired=False))
        return fitted


def _cohorts(source: Sequence[Entry] | Sequence[Sequence[Entry]], config: DataConfig) -> list[Sequence[Entry]]:
    """The source as one sequence of cases per set of labels."""
    given = [source] if source and isinstance(source[0], Entry) else source
    if len(given) != len(config.labels):
        raise UserError(
            f"found {len(given)} cohorts, the recipe has labels of {len(config.labels)}",
            hint="give one folder of cases for each set of labels, in their order",
        )
    return cast(list[Sequence[Entry]], list(given))
