"""Which contrasts a sample is given: always some, never all that can be made, one subset as often as asked."""

from itertools import combinations

import numpy as np
import pytest

from polycontrast.contrasts import DEFAULT
from polycontrast.errors import UserError
from polycontrast.systems.subsets import Subsets

PROPER = [some for n in (1, 2, 3) for some in combinations(DEFAULT, n)]
N = 2000


def drawn(subsets: Subsets, n: int = N) -> list[tuple[str, ...]]:
    flags = [subsets.draw(np.random.default_rng(i)) for i in range(n)]
    return [tuple(name for name, there in zip(DEFAULT, row, strict=True) if there) for row in flags]


def test_every_subset_that_leaves_something_to_make_comes_as_often() -> None:
    subsets = Subsets("x", DEFAULT, DEFAULT, (), 0.9)
    assert sorted(subsets.all) == sorted(PROPER)
    found = drawn(subsets)
    assert {some: found.count(some) for some in PROPER} == pytest.approx(dict.fromkeys(PROPER, N / 14), rel=0.3)
    assert len(found) == sum(found.count(some) for some in PROPER)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_favoured_one_comes_as_often_as_asked_beside_its_place_among_the_others(share: float) -> None:
    found = drawn(Subsets("x", DEFAULT, DEFAULT, ("T2", "T1"), share))
    assert found.count(("T1", "T2")) / N == pytest.approx(share + (1 - share) / 14, abs=0.03)


def test_all_may_be_given_where_another_is_left_to_make() -> None:
    assert Subsets("x", ("T1", "T2"), ("T2", "FLAIR"), (), 0.0).all == [("T1",), ("T2",), ("T1", "T2")]
    assert Subsets("x", ("T1", "T2"), ("T2",), (), 0.0).all == [("T1",)]


@pytest.mark.parametrize(
    ("have", "want", "favoured"),
    [(("T2",), ("T2",), ()), (("T1",), DEFAULT, ("T2",)), (DEFAULT, ("T1", "T2"), ("T2", "T1")), ((), DEFAULT, ())],
)
def test_what_leaves_nothing_to_give_or_make_is_refused(
    have: tuple[str, ...], want: tuple[str, ...], favoured: tuple[str, ...]
) -> None:
    with pytest.raises(UserError, match="is left nothing to make of"):
        Subsets("x", have, want, favoured, 0.5)
