"""How far from a synthetic image the real one lies, in scales that the system gives: fitted on patients that it has not
seen, kept in the run's config.json.

    polycontrast calibrate --model RUN --data DATA --split split.json --role train
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from polycontrast import runs
from polycontrast.data.cache import Entry
from polycontrast.data.configs import DataConfig
from polycontrast.data.intensity import Mask
from polycontrast.data.split import of_same_subjects
from polycontrast.errors import UserError
from polycontrast.infer import slices
from polycontrast.infer.options import Estimate
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io.files import read_json, write_json
from polycontrast.io.volume import Array
from polycontrast.recipes import way_of

LEVELS = (50, 80, 95)  # per cent
_NO_SCALE = "the model {} tells no scale: there is nothing to calibrate"
_VOXELS = 20_000  # of each patient and way: a quantile needs no more
Way = tuple[tuple[str, ...], str]  # what is given, and one contrast that is made of it


def calibrate(
    run: Path,
    entries: Sequence[Entry],
    synthesizer: Synthesizer | None = None,
    threads: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, dict[str, float]]:
    """Fit `confidence` of a run's config.json on these cases and write it there: for each way, and each level, the
    quantile of |real - image| / scale over the brains' voxels.

    Raises UserError if the model gives no scale, was trained on one of the cases, or is the shipped one by its name,
    and if no case has two of its contrasts.
    """
    model = synthesizer or Synthesizer.load(run)
    check(run, model, [entry.id for entry in entries])
    ratios: dict[str, list[Array]] = {}
    for entry, found in estimates(model, entries, threads):
        tell(f"{entry.id}: {len(found)} ways")
        for (have, want), ratio in found.items():
            ratios.setdefault(way_of(have, (want,)), []).append(ratio)
    if not ratios:
        raise UserError(
            f"none of {len(entries)} cases has a contrast that {model.name} makes of others of it",
            hint="calibrate on cases that have several contrasts",
            path=run,
        )
    confidence = {
        way: {
            str(level): float(q) for level, q in zip(LEVELS, np.percentile(np.concatenate(all_), LEVELS), strict=True)
        }
        for way, all_ in sorted(ratios.items())
    }
    write_json(run / "config.json", {**read_json(run / "config.json"), "confidence": confidence})
    return confidence


def check(run: Path, model: Synthesizer, cases: Sequence[str]) -> None:
    """UserError if a run, loaded as `model`, cannot be calibrated, or not on these cases."""
    if runs.folder_of(run) != run:  # it belongs to the installation, and its intervals to it
        hint = "give the folder of a run, or of a copy of the shipped model"
        raise UserError("the shipped model is calibrated already", hint, runs.folder_of(run))
    if not isinstance(model.data, DataConfig):
        raise UserError(_NO_SCALE.format(model.name), path=run)
    if seen := of_same_subjects(cases, model.config.cases):
        raise UserError(
            f"the model was trained on {seen[0]}{' and others' if len(seen) > 1 else ''}: it is surer of them",
            hint="calibrate on a role that it has not seen",
            path=run,
        )


def estimates(model: Synthesizer, entries: Sequence[Entry], threads: int) -> Iterator[tuple[Entry, dict[Way, Array]]]:
    """Of each case, what its real images differ from what is made of every subset, in scales, at some brain voxels."""

    def one(entry: Entry) -> dict[Way, Array]:
        images, mask = stored(entry)
        rng = np.random.default_rng((0, *entry.id.encode()))
        at = np.sort(rng.choice(np.flatnonzero(mask), min(_VOXELS, int(mask.sum())), replace=False))
        found = {}
        for have in subsets(model, entry):
            for want, (image, scale) in made(model, images, mask, entry, have).items():
                if scale is None:
                    raise UserError(_NO_SCALE.format(model.name))
                found[have, want] = np.abs(images[want].ravel()[at] - image.ravel()[at]) / scale.ravel()[at]
        return found

    with ThreadPoolExecutor(threads) as pool:
        yield from zip(entries, pool.map(one, entries), strict=True)


def stored(entry: Entry) -> tuple[dict[str, Array], Mask]:
    """A cached case's images by contrast, normalised, and its mask: canonical, cropped to the brain, [X, Y, Z]."""
    whole = slice(None)
    images = entry.images(whole).astype(np.float32).transpose(1, 2, 3, 0)
    return dict(zip(entry.contrasts, images, strict=True)), entry.mask(whole).transpose(1, 2, 0)


def subsets(model: Synthesizer, entry: Entry) -> list[tuple[str, ...]]:
    """What the model may be given of this case, such that something is left to be made that the case has."""
    there = [name for name in model.have if name in entry.contrasts]
    if not model.system.any_subset:
        return [model.sources(there)]
    some = itertools.chain.from_iterable(itertools.combinations(there, n) for n in range(1, len(there) + 1))
    return [have for have in some if set(model.want) & set(entry.contrasts) - set(have)]


def made(
    model: Synthesizer, images: Mapping[str, Array], mask: Mask, entry: Entry, have: Sequence[str]
) -> dict[str, Estimate]:
    """What is made of these contrasts of a cached case, of all that it has a truth for, in its place."""
    want = [name for name in model.want if name in entry.contrasts and name not in have]
    raw = [images[name] for name in have]
    return slices.estimate(
        model.system, model.config.units, raw, mask, entry.spacing, have, want, model.device, model.options
    )
