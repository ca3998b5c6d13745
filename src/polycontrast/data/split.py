"""Split files: {role: [case, ...]}. Roles are drawn by subject, so that no patient has two of them.

Folds are k such splits of the roles *gan* and *test*, with each case once in *test* (cross-validation).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from polycontrast.errors import UserError
from polycontrast.io.files import read_json
from polycontrast.io.layout import Case

# Ids that name a visit of a subject, the group; told by the id, because files are renamed and listed in CSVs.
_VISITS = (
    r"(.*brats_(?:2013|tcia)_.+)_\d+",  # BraTS 2013/15, perhaps preceded by its grade, which tells two patients apart
    r"(BraTS-[a-z]+-\d+)-\d{3}",  # BraTS 2023-25
    r"(sub-[^_]+)_ses-.+",  # BIDS
)
# BraTS 2017 to 2019 name a patient alike but for the year, its letter case, and a site that 2017 does not tell:
# Brats17_TCIA_425_1, Brats18_TCIA01_425_1 and BraTS19_TCIA01_425_1 are one visit. No id is used in both grades.
_YEARS = re.compile(r"(?:[HL]GG_)?Brats1[789]_(.+)_\d", re.IGNORECASE)
_SITE = re.compile(r"^TCIA\d\d(?=_)")
_GRADE = re.compile(r"^[HL]GG_")  # as io.layout puts it before an id that both grades use
_APART = "who is judged must not be trained on"


def subject(case: Case | str) -> str:
    """Whose visit a case is, told by its id; of an id that no convention knows, the id itself.

    A patient has one name in BraTS 2017 to 2019. 2020 to 2025 numbered theirs anew, and TCGA has ids of its own: an id
    cannot tell whether such a patient is one of another year's.
    """
    id = case if isinstance(case, str) else case.id
    if years := _YEARS.fullmatch(id):
        return f"Brats_{_SITE.sub('TCIA', years[1].upper())}"
    matches = (re.fullmatch(pattern, id, re.IGNORECASE) for pattern in _VISITS)
    return next((match[1] for match in matches if match), id)


def of_same_subjects(cases: Iterable[str], others: Iterable[str]) -> list[str]:
    """Those of the cases that are, or may be, visits of a subject of whom a visit is among the others: an id without
    its grade may be that of either."""
    known = {subject(other) for other in others}
    either = known | {_GRADE.sub("", name) for name in known}
    return [case for case in cases if (name := subject(case)) in either or _GRADE.sub("", name) in known]


def make_split(cases: Sequence[Case], counts: Mapping[str, int], seed: int = 0) -> dict[str, list[str]]:
    """Draw roles by subject: {role: sorted case ids}.

    counts: how many subjects each role gets, -1 (once) for all that are left. UserError if there are too few.
    """
    visits = _visits(cases)
    rest = [role for role, count in counts.items() if count == -1]
    needed = sum(count for count in counts.values() if count != -1)
    if len(rest) > 1 or any(count < -1 for count in counts.values()):
        raise UserError("each role needs a count, and only one may be -1 (all that are left)")
    if needed > len(visits):
        raise UserError(f"{needed} subjects are asked for, {len(visits)} are there", hint="ask for fewer")
    if rest and needed == len(visits):
        raise UserError(f"of {needed} subjects none is left for the role {rest[0]}", hint="ask for fewer of the others")
    drawn = _shuffled(visits, seed)
    roles, first = {}, 0
    for role, count in counts.items():
        size = len(drawn) - needed if count == -1 else count
        roles[role] = sorted(case for name in drawn[first : first + size] for case in visits[name])
        first += size
    return roles


def make_folds(cases: Sequence[Case], k: int, seed: int = 0) -> list[dict[str, list[str]]]:
    """Split a cohort k times: [{"gan": sorted case ids, "test": sorted case ids}]; each case is in one fold's *test*.

    Visits of one subject stay together, and the folds differ by one subject at most. There is no role *train*: what
    a judge learns from (a segmenter, a classifier of contrasts), it takes from the fold's *gan*. UserError if k is less
    than 2 or greater than the number of subjects.
    """
    visits = _visits(cases)
    if k < 2:
        raise UserError(f"{k} folds are asked for", hint="a case is judged by what others taught: at least 2")
    if k > len(visits):
        raise UserError(f"{k} folds are asked for, {len(visits)} subjects are there", hint="ask for fewer")
    drawn = _shuffled(visits, seed)
    tests = [{case for name in drawn[i::k] for case in visits[name]} for i in range(k)]
    ids = sorted(case.id for case in cases)
    return [{"gan": [i for i in ids if i not in test], "test": sorted(test)} for test in tests]


def fold_file(folder: Path, number: int) -> Path:
    """Where the split file of a fold lies, counted from 1."""
    return folder / f"fold_{number}.json"


def _visits(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Subject -> ids of the visits."""
    visits: dict[str, list[str]] = {}
    for case in cases:
        visits.setdefault(subject(case), []).append(case.id)
    return visits


def _shuffled(visits: Mapping[str, list[str]], seed: int) -> list[str]:
    """The subjects in an order that depends on their names and the seed alone."""
    names = sorted(visits)
    return [names[i] for i in np.random.default_rng(seed).permutation(len(names))]


def read_roles(file: Path) -> dict[str, list[str]]:
    """A split file's roles. UserError if it is not {role: [case, ...]}, or if visits of one subject have two roles."""
    roles = read_json(file)
    if not isinstance(roles, dict) or not all(
        isinstance(cases, list) and all(isinstance(case, str) for case in cases) for cases in roles.values()
    ):
        raise UserError("not a split file", hint='expected {"role": ["case", ...], ...}', path=file)
    seen: dict[str, tuple[str, str]] = {}
    for role, cases in roles.items():
        if len(set(cases)) < len(cases):
            twice = next(case for case in cases if cases.count(case) > 1)
            raise UserError(f"case {twice} stands twice under {role}", hint="name it once", path=file)
        for case in cases:
            first, other = seen.setdefault(subject(case), (role, case))
            if first != role:
                which = f"case {case}" if case == other else f"one subject (visits {other} and {case})"
                found = f"{which} has two roles, {first} and {role}"
                raise UserError(found, hint=_APART, path=file)
    for role, cases in roles.items():
        if both := of_same_subjects(cases, (case for other, some in roles.items() if other != role for case in some)):
            raise UserError(f"{both[0]} may be a patient of another role, too", hint=_APART, path=file)
    return roles


def check_together(files: Sequence[Path], role: str) -> None:
    """UserError if a patient who is trained on by one cohort's split file has another role in another's."""
    asked = parts(role)
    read = [(file, read_roles(file)) for file in files]
    trained = {case for _, roles in read for one in asked for case in roles.get(one, ())}
    for file, roles in read:
        others = [case for one, cases in roles.items() if one not in asked for case in cases]
        if both := of_same_subjects(others, trained):
            raise UserError(f"{both[0]} is trained on as a case of another cohort", hint=_APART, path=file)


def parts(role: str) -> list[str]:
    """One role, or several as "gan,train", as a list."""
    return [one.strip() for one in role.split(",")]


def with_role(roles: Mapping[str, list[str]], role: str, file: Path) -> list[str]:
    """The cases that have this role, or one of several as "gan,train"; a UserError for a role that none has."""
    asked = parts(role)
    if strange := [one for one in asked if not roles.get(one)]:
        found = f"no case has the role {strange[0]!r}"
        raise UserError(found, hint=f"roles in this file: {', '.join(roles)}", path=file)
    return list(dict.fromkeys(case for one in asked for case in roles[one]))
