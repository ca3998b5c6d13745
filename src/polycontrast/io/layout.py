"""Finds the cases of a folder or of a CSV, whatever year and challenge named the files.

`CONVENTIONS` has one row per way of naming; a new way is a new row. The first row whose pattern fits the end of a
file's path (without its extension) says which case the file belongs to and what it holds.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from polycontrast import contrasts
from polycontrast.errors import UserError
from polycontrast.io import files, formats, labels

SEGMENTATION = "segmentation"
MAX_DEPTH = 8  # folders below the one given
FOLDER = "case/contrast"  # the convention by which a folder's name is the case's


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


class Convention(NamedTuple):
    """One way of naming. pattern: groups `case` and, unless `holds` says what such a file is, `kind`."""

    name: str
    labels: str
    pattern: str
    holds: str = ""


class Named(NamedTuple):
    """What a file's name says: its case, and a canonical contrast name or SEGMENTATION."""

    case: str
    holds: str
    path: Path
    convention: Convention


def _spellings() -> str:
    """A pattern for every spelling of every contrast, the longest first, with or without separators inside."""
    words = {word for name, row in contrasts.SPELLINGS.items() for word in (name.lower(), *row)}
    return "|".join("[-_ ]?".join(word) for word in sorted(words, key=lambda word: (-len(word), word)))


_SEG = r"(?:(?:tumou?r|lesion)[-_])?(?:seg|segm|segmentation|labels?)"
_KIND = rf"(?P<kind>{_SEG}|{_spellings()})"
_BIDS = r"(?P<case>sub-[^_/]+(?:_ses-[^_/]+)?)(?:_[a-z0-9]+-[^_/]+)*"
_VSD = r"(?P<case>[^/]+)/(?:VSD\.Brain[^/]*/)?VSD\.Brain[^/]*"

CONVENTIONS = (
    Convention("BraTS 2013/15", "brats2013", rf"{_VSD}\.(?P<kind>MR_[^./]+)\.\d+"),
    Convention("BraTS 2013/15", "brats2013", rf"{_VSD}\.OT\.\d+", SEGMENTATION),
    Convention("BraTS 2013/15", "brats2013", rf"(?P<case>brats_(?:2013|tcia)_[^/]+?)_{_KIND}"),
    Convention("BraTS 2017-19", "brats", rf"(?P<case>Brats1[789]_[^/]+?)_{_KIND}"),
    Convention("BraTS 2020", "brats", rf"(?P<case>BraTS20_[^/]+?)_{_KIND}"),
    Convention("BraTS 2020", "brats", r"(?P<case>BraTS20_[^/]+)/W39_1998\.09\.19_Segm", SEGMENTATION),  # of case 355
    Convention("BraTS 2021", "brats", rf"(?P<case>BraTS2021_[^/]+?)_{_KIND}"),
    # From 2024 on, glioma visits after treatment are numbered from 100; their resection cavity is label 4.
    Convention("BraTS 2023-25", "brats2024", rf"(?P<case>BraTS-GLI-\d+-1\d\d)-{_KIND}"),
    Convention("BraTS 2023-25", "brats2023", rf"(?P<case>BraTS-[a-z]+-\d+-\d+)-{_KIND}"),
    Convention("BIDS", "brats", rf"{_BIDS}_ce-[^_/]+(?:_[a-z0-9]+-[^_/]+)*_T1w", "T1ce"),
    Convention("BIDS", "brats", rf"{_BIDS}_(?P<kind>T1w|T2w|FLAIR|PDw)"),
    Convention("BIDS", "brats", rf"{_BIDS}_d?seg", SEGMENTATION),
    Convention("BIDS", "binary", r"(?P<case>sub-[^_/]+(?:_ses-[^_/]+)?)_[^/]*(?:lesion|tumou?r)[^/]*", SEGMENTATION),
    Convention("nnU-Net", "nnunet", r"labels(?:Tr|Ts)/(?P<case>[^/]+)", SEGMENTATION),
    Convention("nnU-Net", "nnunet", r"(?P<case>[^/]+)_(?P<kind>00\d\d)"),
    Convention("TCGA", "brats", r"(?P<case>TCGA-[^/]+)_GlistrBoost_ManuallyCorrected", SEGMENTATION),
    Convention(FOLDER, "brats", rf"(?P<case>[^/]+)/{_KIND}"),
    Convention(FOLDER, "binary", r"(?P<case>[^/]+)/(?:lesion|tumou?r)[-_]?mask", SEGMENTATION),
    Convention("case_contrast", "brats", rf"(?P<case>[^/]+?)[-_. ]{_KIND}"),
    Convention("case_contrast", "binary", r"(?P<case>[^/]+?)[-_. ](?:lesion|tumou?r)[-_]?mask", SEGMENTATION),
)
_PATTERNS = [(re.compile(rf"(?:^|/){row.pattern}$", re.IGNORECASE), row) for row in CONVENTIONS]

# Images that are no contrast of a patient: what we wrote ourselves, brain masks, tissue maps, drafts, other scans.
_PASSED_OVER = re.compile(
    r"_synth$|_confidence$|_desc-(?:synth|confidence)_"
    r"|(?<!lesion)(?<!tumor)(?<!tumour)[-_/]mask$|brain_?mask$|brain_?seg\w*$|_GlistrBoost$"
    r"|_desc-a(?:parca)?seg_|_label-(?:GM|WM|CSF|brain)_|/(?:func|dwi|fmap|perf)/[^/]*$",
    re.IGNORECASE,
)


def find_cases(source: str | Path, flawed: dict[str, str] | None = None) -> list[Case]:
    """The cases of a case folder, of a cohort folder at any depth, or of a CSV (`case_table`), sorted by id.

    A file `labels.json` in the cohort folder ({case: label map}) overrules the convention's label map. UserError if
    nothing is there, a folder's names are all unknown, or a case has two files of one kind: unless `flawed` is given,
    which such cases then join (id -> reason), so that the others can be worked on.
    """
    source = Path(source)
    if source.is_file() and source.suffix.lower() == ".csv":
        from polycontrast.io import case_table

        return case_table.read(source)
    if not source.is_dir():
        found = "a file" if source.exists() else "nothing"
        raise UserError(f"expected a folder or a CSV, found {found}", hint="check the path", path=source)
    paths = [path for path in _images(source) if not _PASSED_OVER.search(_stem(path))]
    named = {path: identify(path) for path in paths}
    known = [image for image in named.values() if image and not _is_derived(image, source)]
    _check_known(source, [path for path, image in named.items() if not image], {image.path.parent for image in known})
    overrides = _read_overrides(source)
    cases = []
    for id, images in _grouped(known).items():
        try:
            cases.append(_case(id, images, overrides, source))
        except UserError as error:
            if flawed is None:
                raise
            flawed[id] = error.message
    return sorted(cases, key=lambda case: case.id)


def identify(path: Path) -> Named | None:
    """What the name of a file says, or None if no convention knows it; UserError if nnU-Net's dataset.json is needed
    and missing or wrong."""
    match, row = match_name(path)
    if match is None or row is None:
        return None
    if row.holds:
        return Named(match["case"], row.holds, path, row)
    kind = _channel(path, int(match["kind"])) if row.name == "nnU-Net" else match["kind"]
    return Named(match["case"], contrasts.find(kind) or SEGMENTATION, path, row)


def match_name(path: Path) -> tuple[re.Match[str] | None, Convention | None]:
    """The first convention whose pattern fits a path, and how it fits."""
    stem = _stem(path)
    return next(((match, row) for pattern, row in _PATTERNS if (match := pattern.search(stem))), (None, None))


def check_id(id: str, where: str, path: Path) -> None:
    """UserError, which says where the id stands, unless it can be the name of a folder and begin those of files."""
    if not id or id.startswith(".") or set(id) & set('/\\:*?"<>|'):
        hint = "the id becomes part of file names: letters, digits, hyphens and underscores"
        raise UserError(f"{where}{id!r} cannot be a case's id", hint=hint, path=path)


def whole(path: Path) -> Path:
    """The path from the root on, without "..": what its folders are called tells cases apart."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (Path.absolute keeps "..", Path.resolve follows links)


def _stem(path: Path) -> str:
    """The whole path, with forward slashes and without the image's extension."""
    text = whole(path).as_posix()
    return text[: -len(formats.extension(path))] if formats.is_image(path) else text


def _images(source: Path) -> Iterator[Path]:
    """The image files below a folder in the order of their names; nothing hidden."""
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
        names = ", ".join(str(path.relative_to(source)) for path in lost[:6])
        more = f" and {len(lost) - 6} more" if len(lost) > 6 else ""
        hint = (
            "name them like CASE_t1.nii.gz, CASE_t1ce.nii.gz, CASE_t2.nii.gz, CASE_flair.nii.gz, CASE_seg.nii.gz, "
            "or list them in a CSV with the columns case, t1, t1ce, t2, flair, seg"
        )
        raise UserError(f"names that no convention knows: {names}{more}", hint=hint, path=source)
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


def _case(id: str, images: list[Named], overrides: dict[str, str], source: Path) -> Case:
    """One case of its images; UserError naming both if two files hold the same, or may be of two patients, as they lie
    in the source: reasons are kept in tables that others will see."""
    of_folder = [image for image in images if image.convention.name == FOLDER and image.holds != SEGMENTATION]
    if len(places := {image.path.parent: image.path.relative_to(source).as_posix() for image in of_folder}) > 1:
        one, two, *_ = places.values()
        hint = "give each patient's folder a name of its own, or list the cases in a CSV"
        raise UserError(f"several folders are called {id}, of several patients? {one} and {two}", hint, source)
    held: dict[str, Named] = {}
    for image in images:
        other = held.setdefault(image.holds, image)
        if other is not image:
            one, two = (file.path.relative_to(source).as_posix() for file in (other, image))
            found = f"case {id} has two files for {image.holds}: {one} and {two}"
            raise UserError(found, hint="remove one, or name the right one in a CSV", path=source)
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


def _channel(path: Path, number: int) -> str:
    """The contrast that an nnU-Net channel number stands for, from the dataset.json beside or above its folder."""
    found = [folder / "dataset.json" for folder in whole(path).parents[:2] if (folder / "dataset.json").is_file()]
    if not found:
        hint = "put nnU-Net's dataset.json beside the folder of the images, or rename them CASE_t1.nii.gz"
        raise UserError("which contrast this channel is stands in dataset.json, which is missing", hint=hint, path=path)
    content = files.read_json(found[0])
    channels = content.get("channel_names", content.get("modality", {})) if isinstance(content, dict) else {}
    name = channels.get(str(number)) if isinstance(channels, dict) else None
    if not isinstance(name, str) or contrasts.find(name) is None:
        hint = f'name it under "channel_names"; known contrasts: {", ".join(contrasts.SPELLINGS)}'
        raise UserError(f"channel {number} is {name!r}, expected a contrast", hint=hint, path=found[0])
    return name
