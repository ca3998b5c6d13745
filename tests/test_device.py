import pytest
import torch

from polycontrast import device
from polycontrast.errors import UserError


def test_auto_finds_a_device_that_computes() -> None:
    assert torch.ones(2, device=device.choose("auto")).sum().item() == 2


def test_an_explicit_wish_is_kept() -> None:
    assert device.choose("cpu") == torch.device("cpu")


@pytest.mark.parametrize("wish", ["cuda:99", "graphics card", ""])
def test_a_wish_that_cannot_be_met_is_refused(wish: str) -> None:
    with pytest.raises(UserError, match="not there") as caught:
        device.choose(wish)
    assert "auto" in caught.value.hint
