"""Several runs as one model: a system that was made for one pair serves many wanted contrasts as a set of runs."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch

from polycontrast import runs
from polycontrast.contrasts import canonical_set
from polycontrast.errors import UserError
from polycontrast.infer.inputs import Image
from polycontrast.infer.options import Options, Synthetic
from polycontrast.infer.synthesizer import Synthesizer, check_apart


class SynthesizerSet:
    """Synthesizers that are used together, each for what it makes; the interface is that of one."""

    def __init__(self, name: str, members: Sequence[Synthesizer]) -> None:
        self.name, self.members = name, tuple(members)
        self.have = tuple(dict.fromkeys(c for m in members for c in m.have))
        self.want = tuple(dict.fromkeys(c for m in members for c in m.want))

    def parts(self, want: Sequence[str]) -> list[tuple[Synthesizer, tuple[str, ...]]]:
        """Who makes which of the wanted contrasts; the first member that can make one does."""
        maker = {name: next(m for m in self.members if name in m.want) for name in want}
        return [(m, names) for m in self.members if (names := tuple(c for c in want if maker[c] is m))]

    def check(self, given: Collection[str], want: Sequence[str] | None) -> tuple[str, ...]:
        """The wanted contrasts (None: all), or a UserError if no member makes one or a member lacks its input."""
        wanted = canonical_set(want) if want is not None else self.want
        if want is not None:
            check_apart(given, self.have, wanted)
        if strange := [name for name in wanted if name not in self.want]:
            hint = f"it makes {', '.join(self.want)}"
            raise UserError(f"the models in {self.name} were not trained to make {', '.join(strange)}", hint=hint)
        if not wanted:
            raise UserError("no contrast is wanted", hint=f"the models in {self.name} make {', '.join(self.want)}")
        for member, names in self.parts(wanted):
            member.check(given, names)
        return wanted

    def __call__(self, images: Mapping[str, Image], want: Sequence[str] | None = None) -> dict[str, Synthetic]:
        """As `Synthesizer.__call__`."""
        wanted = self.check(canonical_set(images), want)
        made = {name: volume for m, names in self.parts(wanted) for name, volume in m(images, names).items()}
        return {name: made[name] for name in wanted}


Model = Synthesizer | SynthesizerSet


def load(
    model: str | Path,
    device: torch.device | str | None = None,
    options: Options = Options(),  # noqa: B008
) -> Model:
    """The model in a run folder, in the folder of a set of runs, whose members all get the options, or the shipped one
    by its name. UserError if it is none of these, or for options that would do nothing with one of its runs."""
    names = runs.members(model)
    if not names:
        return Synthesizer.load(model, device, options)
    folder = runs.folder_of(model)
    return SynthesizerSet(runs.name_of(model), [Synthesizer.load(folder / name, device, options) for name in names])
