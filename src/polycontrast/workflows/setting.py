"""What all systems of a comparison share."""

from dataclasses import dataclass
from pathlib import Path

import torch

from polycontrast.data.split import parts, read_roles
from polycontrast.errors import UserError
from polycontrast.io.layout import Case
from polycontrast.workflows import costs
from polycontrast.workflows.cohort import cases_of


@dataclass(frozen=True)
class Setting:
    """What all systems of a comparison share. images: how many each may see in training, over all its runs (None where
    nothing is trained); split: a split file, for `folds.compare_folds` the folder of its split files; role: the judged
    cases of the split; downstream: judge by segmentation too; segmenter: the folder of its segmenters (for
    `folds.compare_folds` of a folder of them for each fold), one in the comparison's if None; prepare: called first in
    every process that is started; command: told in the reports; against: the system that the others are tested against,
    the first if none is named."""

    data: Path
    split: Path
    images: int | None = None
    have: tuple[str, ...] = ("T2",)
    want: tuple[str, ...] = ("FLAIR", "T1ce", "T1")
    role: str = "test"
    device: torch.device = torch.device("cpu")
    downstream: bool = False
    segmenter: Path | None = None
    prepare: costs.Prepare = costs.nothing
    progress: bool = True
    command: str = ""
    against: str = ""


def apart(setting: Setting) -> tuple[str, list[Case]]:
    """A role and its cases, for what judges and must not have seen the judged: the classifier of contrasts, the
    downstream segmenter. *train*, which trains no system, or *gan* where there is none. UserError if neither is there.
    """
    roles = read_roles(setting.split)
    judged = parts(setting.role)
    role = next((role for role in ("train", "gan") if roles.get(role) and role not in judged), None)
    if role is None:
        hint = "give some cases the role train (or gan), and judge others"
        raise UserError("no cases to train a judge on but those that it judges", hint, setting.split)
    return role, cases_of(setting.data, setting.split, role)
