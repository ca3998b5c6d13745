"""BraSyn's drops: of every case one contrast is withheld, made by a system, judged and sent in."""

from dataclasses import dataclass
from pathlib import Path

from polycontrast.data.split import read_roles, with_role
from polycontrast.io.layout import Case, find_cases
from polycontrast.metrics import brasyn
from polycontrast.metrics.synthetic import finder, synthetic_files

HANDED_OUT, SUBMISSION = "pseudo_validation", "submission"  # folders of the output


@dataclass(frozen=True)
class Drawn:
    """cases: those that can be used. drops: the contrast that each case of the role lacks, by id; left_out: of these
    the others, and why."""

    cases: list[Case]
    drops: dict[str, str]
    left_out: dict[str, str]

    @property
    def contrasts(self) -> tuple[str, ...]:
        """Every contrast that some case lacks."""
        return tuple(sorted(set(self.drops.values())))


def draw(data: Path, split: Path | None, role: str) -> Drawn:
    """The official drops of the cases with this role, or of all without a split file. A case that is flawed or absent
    has its place in the draw all the same, so that the others' contrasts do not depend on it."""
    flawed: dict[str, str] = {}
    cases = {case.id: case for case in find_cases(data, flawed)}
    ids = with_role(read_roles(split), role, split) if split else [*cases, *flawed]
    left_out = {name: flawed.get(name, "not in the data") for name in ids if name not in cases}
    return Drawn([cases[name] for name in ids if name in cases], brasyn.official_drops(ids), left_out)


def hand_out(drawn: Drawn, out: Path) -> Path:
    """Writes the cases, each without its dropped contrast and without its segmentation; returns their folder."""
    brasyn.pseudo_validation(drawn.cases, drawn.drops, out / HANDED_OUT)
    return out / HANDED_OUT


def submit(drawn: Drawn, synthetic: Path, out: Path) -> tuple[Path, int]:
    """Writes the dropped contrasts under the challenge's names; returns their folder and how many there are."""
    missing = brasyn.submission(
        drawn.cases, drawn.drops, finder(synthetic_files(synthetic), synthetic), out / SUBMISSION
    )
    return out / SUBMISSION, len(drawn.cases) - len(missing)
