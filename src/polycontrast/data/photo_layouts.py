"""How folders of photographs are laid out: which files there are, what is known of them, which are never trained on."""

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polycontrast.data.configs import PhotoConfig, PhotoSet
from polycontrast.errors import UserError
from polycontrast.io.files import open_input
from polycontrast.io.photographs import find_photographs

Labels = NDArray[np.float32]
ATTRIBUTES = "list_attr_celeba.txt"
# angle, person, group, gender, expression, gaze: Rafd090_01_Caucasian_female_happy_frontal.jpg
_RAFD = re.compile(r"Rafd(?P<angle>\d+)_(?P<person>\d+)_[^_]+_[^_]+_(?P<expression>[^_]+)_[^_]+")
_ANGLES = ("045", "090", "135")  # StarGAN's three; with 67 people, 8 expressions and 3 gazes its 4,824 images
_HOLD_OUT = 1234  # the order in which files are held out is one for all runs, so that no run has seen another's


@dataclass(frozen=True)
class Photographs:
    """Aligned pairs, one side of unpaired ones, or one labelled data set.

    folder: the one that was given; files: those trained on; labels [N, c], 0 or 1, of a data set that has them;
    held_out: those that are never trained on.
    """

    folder: Path
    files: tuple[Path, ...]
    labels: Labels | None = None
    held_out: tuple[Path, ...] = ()


def find(folders: Sequence[Path], config: PhotoConfig) -> list[Photographs]:
    """The photographs in the configuration's layout: a folder's pairs or its two sides, or each folder's data set.

    Raises UserError for another number of folders, a folder of another layout, one without images, an attribute or
    expression that is not there, and an image of which nothing is known.
    """
    if len(folders) != max(1, len(config.sets)):
        several = f"one for each data set, in this order: {', '.join(one.layout for one in config.sets)}"
        raise UserError(
            f"found {len(folders)} folders of photographs, the recipe learns from {max(1, len(config.sets))}",
            hint=f"give {several if len(config.sets) > 1 else 'one'}",
        )
    for folder in folders:
        if not folder.is_dir():
            raise UserError("no such folder", hint="check the spelling of the path", path=folder)
    if config.sets:
        return [_SETS[one.layout](folder, one) for folder, one in zip(folders, config.sets, strict=True)]
    return _unpaired(folders[0], config) if config.layout == "unpaired" else [_aligned(folders[0])]


def _aligned(folder: Path) -> Photographs:
    if not (folder / "train").is_dir():
        if (folder / "trainA").is_dir():
            raise UserError(
                "trainA/ and trainB/ found, which hold no pairs; this recipe needs aligned pairs",
                hint="put A|B side by side into one file each, in train/; CycleGAN, DiscoGAN and UNIT take this folder",
                path=folder,
            )
        raise UserError("no folder train/", hint="it holds aligned pairs, A|B side by side in one file", path=folder)
    return Photographs(folder, tuple(find_photographs(folder / "train")))


def _unpaired(folder: Path, config: PhotoConfig) -> list[Photographs]:
    sides = [folder / f"train{name}" for name in config.contrasts]
    if missing := [f"{side.name}/" for side in sides if not side.is_dir()]:
        hint = f"this recipe takes unpaired images of each kind, in {' and '.join(f'{s.name}/' for s in sides)}"
        if (folder / "train").is_dir():
            raise UserError("train/ found, as of aligned pairs", hint=f"{hint}; pix2pix takes this folder", path=folder)
        raise UserError(f"no folder {' and '.join(missing)}", hint=hint, path=folder)
    return [Photographs(folder, tuple(find_photographs(side))) for side in sides]


def _celeba(folder: Path, config: PhotoSet) -> Photographs:
    known = _attributes(folder / ATTRIBUTES, config.labels)
    images = next((p for name in ("images", "img_align_celeba") if (p := folder / name).is_dir()), folder / "images")
    files = find_photographs(images)
    if unlisted := [file for file in files if file.name not in known]:
        raise UserError(f"not in {ATTRIBUTES}", hint="take the list that came with the images", path=unlisted[0])
    return _held_out(files, [known[f.name] for f in files], [f.name for f in files], config.held_out, folder)


def _attributes(file: Path, wanted: Sequence[str]) -> dict[str, list[bool]]:
    """{file name: has it each of the wanted attributes}; the list's first line counts, its second names attributes."""
    with open_input(file) as opened:
        lines = opened.read().decode("utf-8", errors="replace").splitlines()
    count, names, rows = lines[0] if lines else "", lines[1].split() if len(lines) > 1 else [], lines[2:]
    rows = [row for row in rows if row.strip()]
    if count.strip() != str(len(rows)):
        raise UserError(f"the first line says {count.strip()!r}, but {len(rows)} images follow", _AS_CELEBA, file)
    columns = [1 + names.index(name) for name in _known(wanted, names, "attribute", file)]
    found = {}
    for number, row in enumerate(rows, 3):
        cells = row.split()
        if len(cells) != 1 + len(names) or not set(cells[1:]) <= {"1", "-1"}:
            raise UserError(f"line {number} is not a name and {len(names)} times 1 or -1", _AS_CELEBA, file)
        found[cells[0]] = [cells[c] == "1" for c in columns]
    return found


_AS_CELEBA = "line 1: how many images; line 2: the attributes; then a file name and 1 or -1 for each"


def _rafd(folder: Path, config: PhotoSet) -> Photographs:
    matches = []
    for file in find_photographs(folder / "images" if (folder / "images").is_dir() else folder):
        match = _RAFD.fullmatch(file.stem)
        if match is None:
            hint = "angle, person, group, gender, expression, gaze: Rafd090_01_Caucasian_female_happy_frontal.jpg"
            raise UserError("not a name of the Radboud Faces Database", hint, file)
        matches.append((file, match))
    expressions = _known(config.labels, sorted({m["expression"] for _, m in matches}), "expression", folder)
    used = [(f, m) for f, m in matches if m["angle"] in _ANGLES and m["expression"] in expressions]
    if not used:
        raise UserError(f"no image at the angles {', '.join(_ANGLES)}", hint="StarGAN trains on these", path=folder)
    labels = [[m["expression"] == name for name in expressions] for _, m in used]
    return _held_out([f for f, _ in used], labels, [m["person"] for _, m in used], config.held_out, folder)


def _known(wanted: Sequence[str], names: Sequence[str], what: str, path: Path) -> Sequence[str]:
    """The wanted names, all of which must be among the known ones."""
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"
            raise UserError(f"no {what} {name!r}", hint=hint, path=path)
    return wanted


def _held_out(
    files: Sequence[Path], labels: Sequence[Sequence[bool]], group: Sequence[str], number: int, folder: Path
) -> Photographs:
    """Whole groups, in a random order that is always the same, are held out until there are `number` files of them."""
    _, of, counts = np.unique(group, return_inverse=True, return_counts=True)
    order = np.random.default_rng(_HOLD_OUT).permutation(len(counts))
    out = order[: np.searchsorted(np.cumsum(counts[order]), number) + 1] if number else order[:0]
    held = np.isin(of, out)
    if held.all():
        raise UserError(
            f"{len(files)} images, of which {number} are to be held out: none is left to train on",
            hint="give the whole data set, or set held_out to less", path=folder,
        )  # fmt: skip
    trained = tuple(f for f, h in zip(files, held, strict=True) if not h)
    away = tuple(f for f, h in zip(files, held, strict=True) if h)
    return Photographs(folder, trained, np.array(labels, dtype=np.float32)[~held], away)


_SETS: dict[str, Callable[[Path, PhotoSet], Photographs]] = {"celeba": _celeba, "rafd": _rafd}
