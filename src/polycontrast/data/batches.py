"""Batch, and what every data set is: samples that depend on (seed, global index) alone, never on rank or worker."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from polycontrast.data.cache import Entry
from polycontrast.data.configs import AnyData
from polycontrast.io.volume import Array

Units = dict[str, tuple[float, float]]
C = TypeVar("C", bound=AnyData)
Outputs = Callable[[Array], dict[str, Array]]
PERMUTE, AUGMENT, LABEL, PLACE = 1, 2, 4, 5  # streams of randomness that must not coincide; 3 is a system's own


@dataclass(frozen=True)
class Batch:
    """B samples on one device.

    images [B, C, K, H, W] in the system's units, zeros where absent: K adjacent slices of each contrast, or the K
    colours of a photograph, or, with dims 3, the depth of a patch. present [B, C] bool; mask [B, 1, K, H, W] bool;
    lesion [B, L, K, H, W] bool, L = whole tumour; index [B]: each sample's global index, from which its randomness
    derives.

    For systems that are told an image's kind (StarGAN): labels [B, c], what the image shows, zeros where unknown;
    known [B, c] bool, which of them its data set tells; targets [B, c], what to make of it: the labels of another image
    of the same data set; dataset [B], which data set. c runs over the labels of all data sets, one after the other.
    """

    images: Tensor
    present: Tensor
    mask: Tensor
    lesion: Tensor
    index: tuple[int, ...]
    dims: int = 2
    labels: Tensor | None = None
    known: Tensor | None = None
    targets: Tensor | None = None
    dataset: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with every tensor changed."""
        changed: dict[str, Any] = {
            f.name: change(value) for f in fields(self) if isinstance(value := getattr(self, f.name), Tensor)
        }
        return replace(self, **changed)


class Dataset(ABC, Generic[C]):
    """Where batches come from. `sample`s are defined for every index >= 0; each pass over the data is a permutation.

    entries: the cached cases it reads, if any; cases: the ids or names trained on; left_out: those of no use.
    """

    config: C
    seed: int
    entries: Sequence[Entry] = ()
    left_out: tuple[str, ...] = ()

    @property
    @abstractmethod
    def cases(self) -> tuple[str, ...]:
        """The ids of the cases that are trained on, in order."""

    @abstractmethod
    def __len__(self) -> int:
        """How many samples one pass has."""

    @abstractmethod
    def batch(self, indices: Sequence[int]) -> Batch:
        """The samples with these global indices."""

    @property
    def whole(self) -> bool:
        """Whether an example's contrasts show one and the same thing."""
        return self.config.paired

    @abstractmethod
    def examples(self, rows: int, have: Collection[str] = ()) -> tuple[Batch, list[str]]:
        """A few complete samples for a picture, whatever training is given, and what to call them; of several cohorts
        with different contrasts, those of the first that can show one of `have`."""

    @abstractmethod
    def units(self, outputs: Outputs | None = None) -> Units:
        """{contrast: (gain, offset)} from the system's units to normalised ones; see `data.units.fit_units`."""

    def batches(
        self, first: int, size: int, rank: int = 0, world: int = 1, *, ahead: int = 0
    ) -> Generator[Batch, None, None]:
        """Endless batches from the global index `first` on; each rank gets its share of every batch of `size`.

        ahead: how many of the next batches are read in threads while the caller computes, into memory from which a GPU
        fetches by itself. That helps a caller that waits for a GPU; one that computes on the CPU is slowed, since a
        thread's own pool makes OpenMP believe that cores are short.
        """
        share = size // world

        def indices(start: int) -> range:
            return range(start + rank * share, start + (rank + 1) * share)

        if not ahead:
            while True:
                yield self.batch(indices(first))
                first += size

        def pinned(start: int) -> Batch:
            return self.batch(indices(start)).map(lambda x: x.pin_memory() if torch.cuda.is_available() else x)

        with ThreadPoolExecutor(max_workers=ahead) as pool:
            waiting = deque(pool.submit(pinned, first + i * size) for i in range(ahead))
            while True:
                first += size
                ready = waiting.popleft()
                waiting.append(pool.submit(pinned, first + (ahead - 1) * size))
                yield ready.result()


class Shuffle:
    """The position that a global index has in its pass: each pass is a permutation of n, drawn from (seed, pass)."""

    def __init__(self, n: int, seed: int, *stream: int) -> None:
        self.n, self._seed, self._stream = n, seed, stream
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0))

    def __call__(self, index: int) -> int:
        epoch, position = divmod(index, self.n)
        cached_epoch, order = self._order
        if cached_epoch != epoch:
            order = np.random.default_rng((self._seed, PERMUTE, epoch, *self._stream)).permutation(self.n)
            self._order = (epoch, order)
        return int(order[position])


class Alternating:
    """Which sample of which data set a global index is, where several data sets take turns.

    They alternate by batch of `batch_size`, over all ranks: an index tells its batch's number and so its data set, and
    its place in that data set's own shuffled passes. So all samples of a batch, whatever rank draws its share, come
    from one data set, and a resumed run goes on with the one that is next. lengths: the samples of each data set.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._batch_size, self._seed = batch_size, seed
        self.shuffles = [Shuffle(n, seed, i) for i, n in enumerate(lengths)]

    def __call__(self, index: int) -> tuple[int, int]:
        """The data set, and the sample in it."""
        number, within = divmod(index, self._batch_size)
        turn, which = divmod(number, len(self.shuffles))
        return which, self.shuffles[which](turn * self._batch_size + within)

    def other(self, index: int) -> tuple[int, int]:
        """A sample of the same data set, each as likely, drawn from the index's own random stream.

        What it shows is what the sample is to be made into. StarGAN's paper permutes the labels of the batch: the same
        distribution, but it would differ with the number of ranks.
        """
        which, _ = self(index)
        return which, int(np.random.default_rng((self._seed, LABEL, index)).integers(self.shuffles[which].n))


def told(labels: Sequence[Sequence[str]]) -> Tensor:
    """[data sets, c] bool: which of the labels of all data sets, one after the other, each of them tells."""
    numbers = torch.tensor([len(names) for names in labels], dtype=torch.long)
    return torch.eye(len(labels), dtype=torch.bool).repeat_interleave(numbers, dim=1)
