"""Each case is read, checked and normalised once; afterwards its slices are read from disk, memory-mapped.

An entry is a folder: `images.npy` [Z, C, X, Y] float16 in normalised units, cropped to the brain, `mask.npy` and
`lesion.npy` [Z, X, Y], and `meta.json`. Its name is a hash of the files it came from and of how it was made, so a
changed file or a changed rule makes a new entry. Entries are written aside and renamed: a killed build leaves none,
but perhaps a hidden folder.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycontrast.data import grid, intensity
from polycontrast.data.intensity import Intensity
from polycontrast.errors import UserError
from polycontrast.io import formats, labels
from polycontrast.io.checks import check_same_grid
from polycontrast.io.files import check_name, read_json, write_json
from polycontrast.io.labels import REGIONS  # in this order bits 0, 1, 2 of lesion.npy
from polycontrast.io.layout import Case
from polycontrast.io.volume import Geometry

Part = slice | int | tuple[slice, ...]  # one index of the stored axes, or one for each

RULES = 2  # raise when what an entry holds, or how it is computed, changes


@dataclass(frozen=True, eq=False)
class Entry:
    """One cached case; the arrays stay on disk.

    contrasts: those of the requested ones that the case has, in the order of the images' second axis.
    box: the brain in canonical voxels; shape: the whole canonical grid; spacing in mm.
    area: per contrast and slice of the box, mm^2 of non-zero voxels.
    """

    folder: Path
    id: str
    contrasts: tuple[str, ...]
    segmented: bool
    intensities: tuple[Intensity, ...]
    box: grid.Box
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    area: NDArray[np.float32]

    def images(self, z: Part) -> NDArray[np.float16]:
        """Slices [..., C, X, Y] of the box in normalised units (or a part of them), read when asked for."""
        return self._read("images", z)

    def mask(self, z: Part) -> NDArray[np.bool_]:
        return self._read("mask", z)

    def lesion(self, z: Part, region: str = "whole") -> NDArray[np.bool_]:
        """Where the region is, [..., X, Y]; all False where the case has no segmentation."""
        return (self._read("lesion", z) >> REGIONS.index(region) & 1).astype(bool)

    def _read(self, name: str, z: Part) -> NDArray[Any]:
        try:
            stored = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        except (OSError, EOFError, ValueError) as error:
            hint = "remove this folder, which only keeps what was read once: it is made anew"
            raise UserError(f"a cached case is damaged: {error}", hint=hint, path=self.folder) from None
        return np.array(stored[z])


def default_folder() -> Path:
    """Where entries lie unless the caller says otherwise: the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polycontrast"


def cached(cases: Sequence[Case], contrasts: Sequence[str], folder: Path | None = None) -> list[Entry]:
    """Entries for the cases, made where they are missing, in `folder` (the user's cache folder if None)."""
    return [_entry(case, contrasts, folder or default_folder()) for case in cases]


def _entry(case: Case, contrasts: Sequence[str], folder: Path) -> Entry:
    has = tuple(c for c in contrasts if c in case.contrasts)
    if not has:
        raise UserError(
            f"case {case.id} has none of {', '.join(contrasts)}", hint=f"it has {', '.join(case.contrasts)}"
        )
    target = folder / f"{case.id}-{_key(case, has)}"
    if not (target / "meta.json").exists():
        check_name(case.id)
        shutil.rmtree(target, ignore_errors=True)  # an entry without it is damaged
        _build(case, has, target)
    return _load(target)


def _key(case: Case, contrasts: tuple[str, ...]) -> str:
    images = [case.contrasts[c] for c in contrasts] + ([case.segmentation] if case.segmentation else [])
    try:
        files = [file for image in images for file in formats.files_of(image)]
        stats = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    except OSError as error:
        hint = "is it a link to a file that was never fetched?"
        raise UserError(f"a file of case {case.id} is not there: {error.strerror}", hint, error.filename) from None
    return hashlib.sha256(json.dumps([RULES, contrasts, case.labels, stats]).encode()).hexdigest()[:16]


def _build(case: Case, contrasts: tuple[str, ...], target: Path) -> None:
    volumes = {c: intensity.zero_background(formats.read_real(case.contrasts[c])) for c in contrasts}
    check_same_grid(volumes, case.contrasts[contrasts[0]].parent)
    geometry = volumes[contrasts[0]].geometry
    affine = geometry.affine
    raw = [grid.to_canonical(volumes[c].array, affine) for c in contrasts]
    mask = intensity.brain_mask(raw)
    fits = intensity.fits(raw, mask, [case.contrasts[c] for c in contrasts])
    box = grid.bounding_box(mask)
    spacing = grid.canonical_spacing(affine)
    images = np.stack([grid.crop(f.apply(a, mask), box) for f, a in zip(fits, raw, strict=True)])
    area = np.stack([grid.crop(a != 0, box).sum(axis=(0, 1)) for a in raw]) * (spacing[0] * spacing[1])
    meta = {
        "id": case.id, "contrasts": contrasts, "segmented": case.segmentation is not None,
        "intensities": [asdict(f) for f in fits], "box": box, "shape": mask.shape, "spacing": spacing,
        "area": area.tolist(),
    }  # fmt: skip
    arrays = {
        "images": np.ascontiguousarray(images.transpose(3, 0, 1, 2), dtype=np.float16),
        "mask": np.ascontiguousarray(grid.crop(mask, box).transpose(2, 0, 1)),
        "lesion": np.ascontiguousarray(grid.crop(_lesion(case, mask.shape, geometry), box).transpose(2, 0, 1)),
    }
    _write(target, arrays, meta)


def _lesion(case: Case, shape: tuple[int, ...], images: Geometry) -> NDArray[np.uint8]:
    bits = np.zeros(shape, dtype=np.uint8)
    if case.segmentation is None:
        return bits
    values, geometry = formats.read_labels(case.segmentation)
    check_same_grid({"the images": images, "the segmentation": geometry}, case.segmentation.parent)
    regions = labels.regions(grid.to_canonical(values, geometry.affine), case.labels, case.segmentation)
    for bit, region in enumerate(REGIONS):
        bits |= regions[region].astype(np.uint8) << bit
    return bits


def _write(target: Path, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise UserError(
            f"cannot be written: {error.strerror}", hint="choose another --cache", path=target.parent
        ) from None
    try:
        for name, array in arrays.items():
            np.save(part / f"{name}.npy", array)
        write_json(part / "meta.json", meta)
        part.rename(target)
    except OSError as error:
        if (target / "meta.json").exists():  # another process, perhaps another rank, has made the same entry meanwhile
            return
        hint = "free some disk space or choose another --cache"
        raise UserError(f"cannot be written: {error.strerror or error}", hint=hint, path=target) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _load(folder: Path) -> Entry:
    meta = read_json(folder / "meta.json")
    (x, y, z) = (tuple(pair) for pair in meta["box"])
    return Entry(
        folder=folder,
        id=meta["id"],
        contrasts=tuple(meta["contrasts"]),
        segmented=meta["segmented"],
        intensities=tuple(Intensity(**fit) for fit in meta["intensities"]),
        box=(x, y, z),
        shape=tuple(meta["shape"]),
        spacing=tuple(meta["spacing"]),
        area=np.asarray(meta["area"], dtype=np.float32),
    )
