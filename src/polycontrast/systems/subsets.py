"""Which contrasts a sample is given in training, where a system takes any of them."""

from collections.abc import Sequence

import numpy as np

from polycontrast.errors import UserError


class Subsets:
    """Every set of given contrasts that leaves something to be made, and perhaps one that is favoured among them.

    have, want: what may be given and what can be made, of which what is given is left out. favoured: drawn in `share`
    of all cases, if not empty; otherwise every set is as likely. UserError, in the system's `name`, where favoured is
    no such set, or where there is none at all.
    """

    def __init__(
        self, name: str, have: Sequence[str], want: Sequence[str], favoured: Sequence[str], share: float
    ) -> None:
        numbers = range(1, 2 ** len(have))
        found = [tuple(one for i, one in enumerate(have) if n >> i & 1) for n in numbers]
        self.all = [some for some in found if set(want) - set(some)]
        self._have, self._favoured, self._share = have, favoured, share if favoured else 0.0
        if not self.all or (favoured and set(favoured) not in map(set, self.all)):
            raise UserError(
                f"{name} is left nothing to make of {', '.join(favoured or have)}",
                hint=f"favoured is a part of have, {', '.join(have)}, and less than want, {', '.join(want)}",
            )

    def draw(self, stream: np.random.Generator) -> list[bool]:
        """Of each of have, whether the sample that this stream belongs to is given it."""
        favoured = stream.random() < self._share
        chosen = self._favoured if favoured else self.all[int(stream.integers(len(self.all)))]
        return [name in chosen for name in self._have]
