"""What a file's name says: which case the file belongs to, and what it holds, whatever year and challenge named it.

`CONVENTIONS` has one row per way of naming; a new way is a new row. The first row whose pattern fits the end of a
file's path (without its extension) says it.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from polycontrast import contrasts
from polycontrast.errors import UserError
from polycontrast.io import files, formats

SEGMENTATION = "segmentation"
FOLDER = "case/contrast"  # the convention by which a folder's name is the case's


class Convention(NamedTuple):
    """One way of naming. pattern: groups `case` and, unless `holds` says what such a file is, `kind`."""

    name: str
    labels: str
    pattern: str
    holds: str = ""


class Named(NamedTuple):
    """What a file's name says: its case, and a canonical contrast name or SEGMENTATION.

    folder: the case's own (a BIDS subject's), or the file's where none is called like it. how: what else is told of the
    image, "to_t2", but for its being skull-stripped.
    """

    case: str
    holds: str
    path: Path
    convention: Convention
    folder: Path
    how: str
    stripped: bool


def _spellings() -> str:
    """A pattern for every spelling of every contrast, the longest first, with or without separators inside."""
    words = {word for name, row in contrasts.SPELLINGS.items() for word in (name.lower(), *row)}
    return "|".join("[-_ ]?".join(word) for word in sorted(words, key=lambda word: (-len(word), word)))


_SEG = r"(?:(?:tumou?r|lesion)[-_])?(?:seg|segm|segmentation|labels?)"
_BRAIN = r"[-_](?:desc-brain|brain|bet|stripped|ss)"
# Registered to another contrast: T1_to_T2. Of a Parkinson's cohort PD_2_T1 is the second patient's T1.
_TO = rf"[-_](?:(?:to|in|space-|reg2|(?<!PD.)2)[-_]?|2)(?:{_spellings()})"
_HOW = rf"(?:{_BRAIN}|{_TO})*"
_KIND = rf"(?P<kind>{_SEG}$|{_spellings()}){_HOW}"
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
    Convention("BIDS", "brats", rf"{_BIDS}_ce-[^_/]+(?:_[a-z0-9]+-[^_/]+)*_(?P<kind>T1w){_HOW}", "T1ce"),
    Convention("BIDS", "brats", rf"{_BIDS}_(?P<kind>T1w|T2w|FLAIR|PDw){_HOW}"),
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
PASSED_OVER = re.compile(
    r"_synth$|_confidence$|_desc-(?:synth|confidence)_"
    r"|(?<!lesion)(?<!tumor)(?<!tumour)[-_/]mask$|brain_?mask$|brain_?seg\w*$|_GlistrBoost$"
    r"|brain[-_]?parenchyma[^/]*$"
    r"|_desc-a(?:parca)?seg_|_label-(?:GM|WM|CSF|brain)_|/(?:func|dwi|fmap|perf)/[^/]*$",
    re.IGNORECASE,
)
CONTRAST = re.compile(rf"(?<![a-z0-9])(?:{_spellings()})(?![a-z0-9])", re.IGNORECASE)


def identify(path: Path) -> Named | None:
    """What the name of a file says, or None if no convention knows it; UserError if nnU-Net's dataset.json is needed
    and missing or wrong."""
    match, row = match_name(path)
    if match is None or row is None:
        return None
    holds = row.holds
    if not holds:
        kind = _channel(path, int(match["kind"])) if row.name == "nnU-Net" else match["kind"]
        holds = contrasts.find(kind) or SEGMENTATION
    how, stripped = ("", False) if holds == SEGMENTATION else _how(match)
    return Named(match["case"], holds, path, row, _case_folder(match), how, stripped)


def match_name(path: Path) -> tuple[re.Match[str] | None, Convention | None]:
    """The first convention whose pattern fits a path, and how it fits."""
    text = stem(path)
    return next(((match, row) for pattern, row in _PATTERNS if (match := pattern.search(text))), (None, None))


def whole(path: Path) -> Path:
    """The path from the root on, without "..": what its folders are called tells cases apart."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (Path.absolute keeps "..", Path.resolve follows links)


def stem(path: Path) -> str:
    """The whole path, with forward slashes and without the image's extension."""
    text = whole(path).as_posix()
    return text[: -len(formats.extension(path))] if formats.is_image(path) else text


def _case_folder(match: re.Match[str]) -> Path:
    """The folder whose name a convention takes for the case, else the nearest called like the case or its subject, else
    the file's own."""
    if "/" in match.string[match.end("case") :]:
        return Path(match.string[: match.end("case")])
    folders = Path(match.string).parents
    names = (match["case"], match["case"].partition("_ses-")[0])
    return next((folder for folder in folders if folder.name in names), folders[0])


def _how(match: re.Match[str]) -> tuple[str, bool]:
    """What a contrast's name tells of the image beside the contrast, and whether it says that it is skull-stripped."""
    before, after = match.string[match.end("case") : match.start("kind")], match.string[match.end("kind") :]
    plain = re.sub("_desc-brain(?=_)", "", before), re.sub(_BRAIN, "", after, flags=re.IGNORECASE)
    return "".join(plain).strip("-_. /").lower(), plain != (before, after)


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
