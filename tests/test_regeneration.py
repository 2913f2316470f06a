import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dejavu.regeneration import CRM

few = settings(derandomize=True, deadline=None, max_examples=12)


def inputs(
    batch: int, height: int, width: int, condition: int = 2, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    image = torch.randn(batch, 3, height, width, generator=g)
    keep = (torch.rand(batch, 1, height, width, generator=g) < 0.5).float()
    return image, keep, torch.randn(batch, condition, height, width, generator=g)


def span(hit: Tensor) -> list[int]:
    """Length from the first to the last row, and column, that holds anything."""
    lengths = []
    for axis in (1, 0):
        touched = hit.any(axis).nonzero()
        lengths.append(int(touched.max() - touched.min()) + 1)
    return lengths


@pytest.mark.parametrize(("depth", "stride"), [(1, 1), (2, 3), (3, 1), (3, 2), (4, 2), (5, 1)])
def test_receptive_field_is_what_gradients_reach(depth: int, stride: int) -> None:
    crm = CRM(2, width=2, depth=depth, stride=stride).double()
    for parameter in crm.parameters():
        nn.init.uniform_(parameter, 0.5, 1)  # positive, so that no ReLU stops a gradient
    side = (3 * crm.receptive_field // stride + 1) * stride
    maps = [torch.rand(1, c, side, side, dtype=torch.float64) for c in (3, 1, 2)]
    for pixel in (side // 2, side // 2 + stride - 1):
        leaves = [m.clone().requires_grad_() for m in maps]
        crm(*leaves)[0, 0, pixel, pixel].backward()
        for leaf in leaves:
            assert leaf.grad is not None
            reached = leaf.grad[0, 0] != 0
            assert span(reached) == [crm.receptive_field] * 2
            inside = reached[pixel, :].nonzero()
            assert inside.min() < pixel < inside.max(), "must see to both sides"


@given(st.integers(1, 3), st.integers(1, 19), st.integers(1, 19), st.integers(1, 4))
@few
def test_any_size_gives_its_own_size(batch: int, height: int, width: int, stride: int) -> None:
    crm = CRM(2, width=3, depth=2, stride=stride)
    assert crm(*inputs(batch, height, width)).shape == (batch, 3, height, width)


def test_odd_sizes_repeat_the_last_pixels() -> None:
    crm = CRM(2, width=4, stride=3)
    maps = inputs(2, 7, 11)
    larger = [m[..., [*range(7), 6, 6], :][..., [*range(11), 10]] for m in maps]
    torch.testing.assert_close(crm(*maps), crm(*larger)[..., :7, :11])


def test_reading_and_writing_lose_no_pixel() -> None:
    """The linear maps are space-to-depth and depth-to-space beside 1 x 1 convolutions."""
    crm = CRM(2, width=5, stride=2)
    maps = torch.cat(inputs(2, 6, 8), 1)
    rows = F.pixel_unshuffle(maps, 2)
    read = torch.einsum("bchw,oc->bohw", rows, crm.read.weight.flatten(1))
    read = read + crm.read.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(crm.read(maps), read, atol=1e-5, rtol=1e-5)
    written = torch.einsum("bchw,co->bohw", read, crm.write.weight.flatten(1))
    written = F.pixel_shuffle(written, 2) + crm.write.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(crm.write(read), written, atol=1e-5, rtol=1e-5)


def test_no_mask_stands_for_ones() -> None:
    crm = CRM(2)
    image, keep, condition = inputs(2, 8, 8)
    expected = crm(image, torch.ones_like(keep), condition)
    assert torch.equal(crm(image, None, condition), expected)
    assert not torch.allclose(crm(image, keep, condition), expected), "mask is not read"


def test_images_of_a_batch_do_not_mix() -> None:
    crm = CRM(2)
    maps = inputs(3, 10, 9)
    alone = torch.cat([crm(*(m[i : i + 1] for m in maps)) for i in range(3)])
    torch.testing.assert_close(crm(*maps), alone)


def test_layers_are_as_many_as_depth_says() -> None:
    crm = CRM(4, image_channels=1, width=6, depth=5, stride=2)
    kernels = [m.kernel_size for m in crm.modules() if isinstance(m, nn.Conv2d)]
    assert kernels == [(2, 2), *[(3, 3)] * 5]
    read, hidden, write = (1 + 1 + 4) * 4 * 6 + 6, 5 * (6 * 6 * 9 + 6), 6 * 1 * 4 + 1
    assert sum(p.numel() for p in crm.parameters()) == read + hidden + write


def test_half_precision_and_memory_format() -> None:
    crm, maps = CRM(2), inputs(2, 9, 12)
    expected = crm(*maps)
    last = crm.to(memory_format=torch.channels_last)
    made = last(*(m.to(memory_format=torch.channels_last) for m in maps))
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)
    half = crm.bfloat16()(*(m.bfloat16() for m in maps))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("argument", "maps", "message"),
    [
        (0, torch.zeros(2, 1, 8, 8), r"redacted has shape \(2, 1, 8, 8\); .* \(2, 3, 8, 8\)"),
        (1, torch.zeros(1, 1, 8, 8), r"keep has shape \(1, 1, 8, 8\); .* \(2, 1, 8, 8\)"),
        (2, torch.zeros(2, 5, 8, 8), r"condition has shape \(2, 5, 8, 8\); .* \(2, 2, 8, 8\)"),
        (2, torch.zeros(2, 2, 4, 4), r"condition has shape \(2, 2, 4, 4\)"),
        (2, torch.zeros(1, 2, 8, 8), r"condition has shape \(1, 2, 8, 8\)"),
    ],
)
def test_other_shapes_are_refused(argument: int, maps: Tensor, message: str) -> None:
    given_maps = list(inputs(2, 8, 8))
    given_maps[argument] = maps
    with pytest.raises(ValueError, match=message):
        CRM(2)(*given_maps)


@pytest.mark.parametrize("argument", ["condition_channels", "image_channels", "width", "depth"])
@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_impossible_sizes_are_named(argument: str, value: int) -> None:
    sizes = {"condition_channels": 2} | {argument: value}
    with pytest.raises(ValueError, match=rf"{argument}={value}: must be a whole number"):
        CRM(**sizes)
