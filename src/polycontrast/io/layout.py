"""Finds the cases of a folder or of a CSV: files whose names (`naming`) are of one case, together."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from polycontrast import contrasts
from polycontrast.errors import UserError
from polycontrast.io import files, formats, labels
from polycontrast.io.naming import CONTRAST, PASSED_OVER, SEGMENTATION, Named, identify, stem, whole

MAX_DEPTH = 8  # folders below the one given


@dataclass(frozen=True)
class Case:
    """One patient visit: its images by canonical contrast name, its segmentation, and how they were named.

    contrasts may be empty and segmentation None: a case is what was found. labels: a name in `labels.LABEL_MAPS`.
    """

    id: str
    contrasts: dict[str, Path]
    segmentation: Path | None
    convention: str
    labels: str


_COPY = re.compile(r"(?:reg_|r)(.+)")  # as SPM and others name a registered copy


def find_cases(
    source: str | Path, flawed: dict[str, str] | None = None, unknown: list[Path] | None = None
) -> list[Case]:
    """The cases of a case folder, of a cohort folder at any depth, or of a CSV (`case_table`), sorted by id.

    A file `labels.json` in the cohort folder ({case: label map}) overrules the convention's label map. Of a contrast
    and its skull-stripped copy the copy is taken. UserError if nothing is there, a folder's names are all unknown, or a
    case has two files of one kind, lies in several folders or is another's registered copy: unless `flawed` is given,
    which such cases then join (id -> reason), so that the others can be worked on. unknown: if given, it is joined by
    the images that are left out, for no convention knows their names.
    """
    source = Path(source)
    if source.is_file() and source.suffix.lower() == ".csv":
        from polycontrast.io import case_table

        return case_table.read(source)
    if not source.is_dir():
        found = "a file" if source.exists() else "nothing"
        raise UserError(f"expected a folder or a CSV, found {found}", hint="check the path", path=source)
    paths = [path for path in images_below(source) if not PASSED_OVER.search(stem(path))]
    named = {path: identify(path) for path in paths}
    known = [image for image in named.values() if image and not _is_derived(image, source)]
    untold = [path for path, image in named.items() if not image]
    _check_known(source, untold, {image.path.parent for image in known})
    if unknown is not None:
        unknown += untold
    overrides = _read_overrides(source)
    cases, groups = [], _grouped(known)
    for id, images in groups.items():
        try:
            _check_own(id, groups, source)
            cases.append(_case(id, images, overrides, source))
        except UserError as error:
            if flawed is None:
                raise
            flawed[id] = error.message
    return sorted(cases, key=lambda case: case.id)


def in_short(paths: Sequence[Path], source: Path) -> str:
    """The first few of some files, as they lie in the source, and how many more there are."""
    more = f" and {len(paths) - 6} more" if len(paths) > 6 else ""
    return ", ".join(path.relative_to(source).as_posix() for path in paths[:6]) + more


def check_id(id: str, where: str, path: Path) -> None:
    """UserError, which says where the id stands, unless it can be the name of a folder and begin those of files."""
    if not id or id.startswith(".") or set(id) & set('/\\:*?"<>|'):
        hint = "the id becomes part of file names: letters, digits, hyphens and underscores"
        raise UserError(f"{where}{id!r} cannot be a case's id", hint=hint, path=path)


def images_below(source: Path) -> Iterator[Path]:
    """The image files below a folder in the order of their names, links followed; nothing hidden."""
    for folder, subfolders, names in os.walk(
        source, onerror=_refuse, followlinks=True
    ):  # MAX_DEPTH ends a loop of links
        depth = len(Path(folder).relative_to(source).parts)
        subfolders[:] = sorted(s for s in subfolders if not s.startswith(".")) if depth < MAX_DEPTH else []
        for name in sorted(names):
            if formats.is_image(Path(name)) and not name.startswith("."):
                yield Path(folder, name)


def _refuse(error: OSError) -> None:
    raise UserError(
        f"the folder cannot be read: {error.strerror}", hint="a case could be lost in it", path=error.filename
    )


def _is_derived(image: Named, source: Path) -> bool:
    """Whether it is a processed copy of an image (BIDS derivatives), which must not stand beside the image itself."""
    return image.holds != SEGMENTATION and "derivatives" in image.path.relative_to(source).parts


def _check_known(source: Path, unknown: list[Path], folders: set[Path]) -> None:
    """UserError if there are no images, or if none of a folder's images could be told: a case would be lost."""
    lost = [path for path in unknown if path.parent not in folders]
    if lost:
        hint = (
            "name them like CASE_t1.nii.gz, CASE_t1ce.nii.gz, CASE_t2.nii.gz, CASE_flair.nii.gz, CASE_seg.nii.gz, "
            "or list them in a CSV with the columns case, t1, t1ce, t2, flair, seg"
        )
        raise UserError(f"names that no convention knows: {in_short(lost, source)}", hint=hint, path=source)
    if not folders:
        hint = f"expected {', '.join(formats.EXTENSIONS)}; a DICOM series is named by its folder in a CSV"
        raise UserError("no images of any case in this folder", hint=hint, path=source)


def _grouped(images: list[Named]) -> dict[str, list[Named]]:
    """The images by case id. BraTS 2013/15 uses some ids in both HGG and LGG: then the id is preceded by its grade."""
    groups: dict[tuple[str, str], list[Named]] = {}
    for image in images:
        grade = next((part for part in whole(image.path).parts if part in ("HGG", "LGG")), "")
        groups.setdefault((image.case, grade), []).append(image)
    uses = Counter(case for case, _ in groups)
    return {f"{grade}_{case}" if uses[case] > 1 and grade else case: group for (case, grade), group in groups.items()}


def _check_own(id: str, groups: dict[str, list[Named]], source: Path) -> None:
    """UserError if a case seems to be a registered copy of one beside it: rP1_t2 of P1_t1."""
    copied = _COPY.fullmatch(id)
    for other in groups.get(copied[1], []) if copied else []:
        if image := next((image for image in groups[id] if image.path.parent == other.path.parent), None):
            one, two = (file.path.relative_to(source).as_posix() for file in (image, other))
            hint = "rename the registered one like the case, and remove the other; or list the cases in a CSV"
            raise UserError(f"case {id} seems to be a copy of {other.case}: {one} beside {two}", hint, source)


def _check_one_place(id: str, images: list[Named], source: Path) -> None:
    """UserError if contrasts lie in folders that may be two patients'. Folders that differ by the names of contrasts
    alone (IXI-T1/, IXI-T2/) are not, and segmentations may have a folder apart."""

    def place(image: Named) -> str:
        return CONTRAST.sub(
            lambda match: "" if contrasts.find(match[0]) == image.holds else match[0],
            os.path.relpath(image.folder, whole(source)),
        )

    first, *others = [image for image in images if image.holds != SEGMENTATION] or images[:1]
    apart = [image for image in others if image.folder != first.folder and place(image) != place(first)]
    if apart:
        one, two = (file.path.relative_to(source).as_posix() for file in (first, apart[0]))
        if first.folder.name == apart[0].folder.name:
            found, hint = f"several folders are called {first.folder.name}", "give each patient's a name of its own"
        else:
            found, hint = f"case {id} lies in several folders", "keep it in one, or in one per contrast, called like it"
        raise UserError(f"{found}, of several patients? {one} and {two}", f"{hint}, or list the cases in a CSV", source)


def _best(images: list[Named]) -> list[Named]:
    """The images of a case without those of which a skull-stripped copy is there, which is what we need."""
    better = {(image.holds, image.how, image.folder) for image in images if image.stripped}
    return [image for image in images if image.stripped or (image.holds, image.how, image.folder) not in better]


def _case(id: str, images: list[Named], overrides: dict[str, str], source: Path) -> Case:
    """One case of its images; UserError naming both if two files hold the same, or may be of two patients, as they lie
    in the source: reasons are kept in tables that others will see."""
    held: dict[str, Named] = {}
    for image in _best(images):
        other = held.setdefault(image.holds, image)
        if other is not image:
            one, two = (file.path.relative_to(source).as_posix() for file in (other, image))
            found = f"case {id} has two files for {image.holds}: {one} and {two}"
            names = "" if other.folder == image.folder else ", of two patients give each a name of its own"
            raise UserError(found, hint=f"remove one{names}, or name the right one in a CSV", path=source)
    _check_one_place(id, images, source)
    seg = held.pop(SEGMENTATION, None)
    first = next((image for image in images if image.holds != SEGMENTATION), images[0])
    ordered = {name: held[name].path for name in contrasts.SPELLINGS if name in held}
    label_map = overrides.get(id, (seg or first).convention.labels)
    return Case(id, ordered, seg.path if seg else None, first.convention.name, label_map)


def _read_overrides(source: Path) -> dict[str, str]:
    """The label maps of labels.json, here or, for a case folder of a cohort, one folder up; {} if there is none."""
    folder = whole(source)
    path = next((f / "labels.json" for f in (folder, folder.parent) if (f / "labels.json").is_file()), None)
    if path is None:
        return {}
    overrides = files.read_json(path)
    if not isinstance(overrides, dict):
        raise UserError("expected {case: label map}", hint='such as {"P01": "brats2023"}', path=path)
    return {case: labels.check_map(str(name), path) for case, name in overrides.items()}
