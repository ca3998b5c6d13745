import math

import pytest
import torch
from torch import Tensor, nn

from polycontrast.nets.vae import TwinAutoencoder, init_he


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("size", [(32, 32), (12, 24), (8, 8, 12)])
def test_the_latent_is_a_quarter_as_long_and_decodes_to_the_images_size(size: tuple[int, ...], tied: bool) -> None:
    twins = TwinAutoencoder(3, blocks=2, base=2, dims=len(size), tied=tied)
    for domain in "ab":
        mean = twins.shared_encoder(getattr(twins, f"encoder_{domain}")(noise(2, 3, *size)))
        assert mean.shape == (2, 8, *(n // 4 for n in size))
        assert getattr(twins, f"decoder_{domain}")(twins.shared_decoder(mean)).shape == (2, 3, *size)


def test_the_published_size_has_the_parameters_that_its_layers_add_up_to() -> None:
    block = 2 * (256 * 256 * 9 + 256)
    encoder = (3 * 64 * 49 + 64) + (64 * 128 * 16 + 128) + (128 * 256 * 16 + 256)
    decoder = (256 * 128 * 25 + 3 * 128) + (128 * 64 * 25 + 3 * 64) + (64 * 3 * 49 + 3)
    with torch.device("meta"):
        tied, untied = TwinAutoencoder(3), TwinAutoencoder(3, tied=False)
    assert count(tied) == 2 * (encoder + decoder) + (4 * 4 - 2) * block
    assert count(untied) == count(tied) + 2 * block


def test_tied_blocks_are_held_under_one_name() -> None:
    names = list(TwinAutoencoder(1, blocks=2, base=2).state_dict(keep_vars=True).items())
    assert len({id(value) for _, value in names}) == len(names)
    assert any(name.startswith("shared_encoder.") for name, _ in names)
    assert any(name.startswith("shared_decoder.") for name, _ in names)


def test_the_shared_parts_do_nothing_when_untied() -> None:
    twins, x = TwinAutoencoder(1, blocks=1, base=2, tied=False), noise(1, 8, 4, 4)
    assert torch.equal(twins.shared_encoder(x), x)
    assert torch.equal(twins.shared_decoder(x), x)


def test_images_are_encoded_and_decoded_each_by_itself_in_training_too() -> None:
    torch.manual_seed(0)
    twins, x = TwinAutoencoder(1, blocks=2, base=4), noise(3, 1, 16, 16)
    together, alone = (twins.decoder_b(twins.encoder_a(images)) for images in (x, x[:1]))
    torch.testing.assert_close(alone, together[:1])


def test_doubling_keeps_the_channels_means_apart_and_encoding_does_not() -> None:
    """Instance norm ends every level of the encoder, the norm of a whole image every level of the decoder."""
    twins = TwinAutoencoder(1, blocks=1, base=4)  # its one block is the shared one
    shrunk = twins.encoder_a[:-1](noise(1, 1, 32, 32))
    torch.testing.assert_close(shrunk.mean((2, 3)), torch.zeros(1, 16), atol=1e-5, rtol=0)
    doubled = twins.decoder_a[:3](noise(1, 16, 8, 8))
    assert doubled.mean().item() == pytest.approx(0, abs=1e-5)
    assert doubled.mean((2, 3)).abs().max() > 0.01


def test_decoders_end_in_tanh_or_linearly() -> None:
    torch.manual_seed(0)
    bounded, linear = (TwinAutoencoder(1, blocks=1, base=2, tanh=tanh) for tanh in (True, False))
    linear.load_state_dict(bounded.state_dict())
    x = 100 * noise(1, 8, 4, 4)
    assert linear.decoder_b(x).abs().max() > 1
    torch.testing.assert_close(torch.tanh(linear.decoder_b(x)), bounded.decoder_b(x))


def test_edges_are_reflected() -> None:
    convolutions = [m for m in TwinAutoencoder(1, base=2).modules() if isinstance(m, nn.Conv2d)]
    assert {m.padding_mode for m in convolutions} == {"reflect"}


def test_init_he_scales_by_what_a_neuron_reads() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 64, 4), nn.Conv2d(64, 128, 3))
    init_he(network)
    for layer, read in zip(network, (8 * 16, 64 * 9), strict=True):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / read), rel=0.05)
        assert not layer.bias.any()
