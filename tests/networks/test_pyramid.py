import pytest
import torch

from dejavu.networks.pyramid import FeaturePyramid


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (33, 47)])
def test_output_has_the_images_size(size: tuple[int, int]) -> None:
    assert FeaturePyramid(5, width=4)(torch.randn(2, 3, *size)).shape == (2, 5, *size)


def test_every_pixel_can_depend_on_the_whole_image() -> None:
    """The pyramid merges its coarsest stage: a far pixel must reach an output."""
    torch.manual_seed(0)
    image = torch.randn(1, 3, 32, 32, requires_grad=True)
    FeaturePyramid(1, width=8).eval()(image)[0, 0, 0, 0].backward()
    assert image.grad is not None
    assert image.grad[0, :, -8:, -8:].abs().max() > 0
