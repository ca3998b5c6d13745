"""What data settings ask for must be possible."""

import math

import pytest

from polycontrast.data.configs import DataConfig
from polycontrast.errors import UserError


def test_slices_are_filled_in_between_others_in_units_of_volumes_alone() -> None:
    DataConfig(units="volume", apart=4.0)
    with pytest.raises(UserError, match="units of their own"):
        DataConfig(units="slice-max", apart=4.0)


@pytest.mark.parametrize("apart", [-1.0, math.nan])
def test_a_distance_is_not_negative(apart: float) -> None:
    with pytest.raises(UserError, match="mm apart"):
        DataConfig(units="volume", apart=apart)
