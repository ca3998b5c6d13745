"""What a system refuses in words before anything is trained: data, contrasts and sizes that it cannot learn from."""

from collections.abc import Sequence

from polycontrast.data.configs import AnyData, DataConfig
from polycontrast.errors import UserError


def check_paired(name: str, data: AnyData, have: Sequence[str], want: Sequence[str]) -> None:
    """UserError unless a sample shows one and the same thing in every contrast, in single planes or patches, the given
    and wanted ones among them."""
    if not data.paired or data.labels or (isinstance(data, DataConfig) and data.slab != 1):
        raise UserError(
            f"{name} learns from pairs: the same slice, patch or photograph in every contrast",
            hint="give it paired data, slab 1 and no labels; cyclegan, discogan, unit and stargan learn without pairs",
        )
    check_shown(name, (*have, *want), data.contrasts)


def check_unpaired(name: str, data: AnyData, have: Sequence[str], want: Sequence[str]) -> None:
    """UserError unless one contrast is translated into one other, in single planes, and no sample is a pair: a system
    that is said to need no pairs must not be given any."""
    if len(have) != 1 or len(want) != 1 or have == want:
        raise UserError(
            f"{name} translates one contrast into another, not {', '.join(have)} into {', '.join(want)}",
            hint="name one to have and one to want; of several wanted ones `train --want` makes a set of runs",
        )
    if data.paired:
        raise UserError(
            f"{name} learns from images that are not paired, these are",
            hint="set paired to false (of photographs: layout to unpaired), which shuffles each contrast by itself; "
            "patches are always paired",
        )
    if isinstance(data, DataConfig) and (data.slab != 1 or data.labels):
        found = "labelled images" if data.labels else f"slabs of {data.slab}"
        raise UserError(f"{name} sees a slice of each contrast, not {found}", hint="set slab to 1 and leave labels out")
    check_shown(name, (*have, *want), data.contrasts)


def check_shown(name: str, asked: Sequence[str], shown: Sequence[str]) -> None:
    """UserError if a contrast or label that the system is to be given or to make is not among what the data shows."""
    if strange := [one for one in dict.fromkeys(asked) if one not in shown]:
        raise UserError(
            f"{name} asks for what the data does not show: {', '.join(strange)}", hint=f"it shows {', '.join(shown)}"
        )


def check_size(name: str, data: AnyData, edge: int, remedy: str = "") -> None:
    """UserError if the discriminator, which needs images of this edge, is left nothing of the data's."""
    if data.size < edge:
        raise UserError(
            f"images of {data.size} pixels are too small for the discriminator of {name}, which needs {edge}",
            hint=f"raise size{remedy}",
        )
