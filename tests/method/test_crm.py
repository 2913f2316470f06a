import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dejavu.method.crm import CRM, CRMCost

few = settings(max_examples=12)


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


@pytest.mark.parametrize("passes", [1, 2, 3])
@pytest.mark.parametrize(("depth", "stride"), [(1, 1), (2, 3), (3, 1), (3, 2), (4, 2), (5, 1)])
def test_receptive_field_is_what_gradients_reach(depth: int, stride: int, passes: int) -> None:
    crm = CRM(2, width=2, depth=depth, stride=stride, passes=passes).double()
    for parameter in crm.parameters():
        nn.init.uniform_(parameter, 0.5, 1)  # positive, so that no ReLU stops a gradient
    side = (2 * crm.receptive_field // stride + 1) * stride
    maps = [torch.rand(1, c, side, side, dtype=torch.float64) for c in (3, 1, 2)]
    maps[1].zero_()  # no pixel is put back between passes, so that none stops a gradient
    for pixel in (side // 2, side // 2 + stride - 1):
        leaves = [m.clone().requires_grad_() for m in maps]
        crm(*leaves)[0, 0, pixel, pixel].backward()
        for leaf in leaves:
            assert leaf.grad is not None
            reached = leaf.grad[0, 0] != 0
            assert span(reached) == [crm.receptive_field] * 2
            inside = reached[pixel, :].nonzero()
            assert inside.min() < pixel < inside.max(), "must see to both sides"


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_receptive_fields_of_passes_share_a_cell(stride: int) -> None:
    once, thrice = (CRM(2, stride=stride, passes=passes).receptive_field for passes in (1, 3))
    assert thrice == 3 * once - 2 * stride


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


@pytest.mark.parametrize("normalisation", ["none", "group"])
def test_images_of_a_batch_do_not_mix(normalisation: Any) -> None:
    crm = CRM(2, normalisation=normalisation, passes=2)
    maps = inputs(3, 10, 9)
    alone = torch.cat([crm(*(m[i : i + 1] for m in maps)) for i in range(3)])
    torch.testing.assert_close(crm(*maps), alone)


def test_defaults_are_one_pass_without_normalisation() -> None:
    crm = CRM(2)
    layers = [f"layers.{index}.{kind}" for index in (0, 2, 4) for kind in ("weight", "bias")]
    ends = [f"{end}.{kind}" for end in ("read", "write") for kind in ("weight", "bias")]
    assert sorted(crm.state_dict()) == sorted([*ends, *layers])
    maps = inputs(2, 8, 10)
    expected = crm.write(crm.layers(crm.read(torch.cat(maps, 1))))
    # Not equal bytes: the two differ in memory layout, and so, on some processors, in rounding.
    torch.testing.assert_close(crm(*maps), expected)


@pytest.mark.parametrize(("width", "groups"), [(1, 1), (6, 2), (7, 1), (12, 4), (16, 8), (24, 8)])
def test_groups_of_channels_are_normalised_before_each_relu(width: int, groups: int) -> None:
    crm = CRM(2, width=width, depth=2, normalisation="group")
    assert [type(layer).__name__ for layer in crm.layers] == ["Conv2d", "GroupNorm", "ReLU"] * 2
    g = torch.Generator().manual_seed(0)
    x = 3 + 2 * torch.randn(2, width, 12, 10, generator=g)
    grouped = x.double().reshape(2, groups, -1)
    variance = grouped.var(2, keepdim=True, correction=0)
    expected = (grouped - grouped.mean(2, keepdim=True)) / (variance + 1e-5).sqrt()
    made = crm.layers[1](x).double().reshape(2, groups, -1)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


def twins(passes: int) -> tuple[CRM, CRM]:
    """A CRM of one pass and one of several, of equal weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        once, often = CRM(2, stride=3), CRM(2, stride=3, passes=passes)
    often.load_state_dict(once.state_dict())
    return once, often


def test_passes_put_kept_pixels_back_and_feed_the_rest() -> None:
    once, thrice = twins(passes=3)
    image, keep, condition = inputs(2, 8, 10)
    shown = image
    for _ in range(2):
        made = once(shown, keep, condition)
        shown = keep * image + (1 - keep) * made
    expected = once(shown, keep, condition)
    torch.testing.assert_close(thrice(image, keep, condition), expected)
    assert not torch.allclose(expected, once(image, keep, condition), atol=1e-3)


def test_without_a_mask_passes_feed_the_whole_image() -> None:
    once, twice = twins(passes=2)
    image, keep, condition = inputs(2, 8, 10)
    expected = once(once(image, None, condition), None, condition)
    torch.testing.assert_close(twice(image, None, condition), expected)
    kept = torch.ones_like(keep)
    torch.testing.assert_close(twice(image, kept, condition), once(image, kept, condition))


def test_gradients_pass_through_all_passes() -> None:
    _, twice = twins(passes=2)
    image, keep, condition = inputs(1, 6, 6)
    condition.requires_grad_()
    twice(image, keep, condition).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in twice.parameters())
    assert condition.grad is not None
    assert (condition.grad.abs().amax((0, 2, 3)) > 0).all()


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 3), st.integers(1, 3), st.booleans())
@few
def test_cost_is_counted_from_the_shapes(
    height: int, width: int, stride: int, passes: int, group: bool
) -> None:
    hidden, depth = 6, 3
    norm: Any = "group" if group else "none"
    crm = CRM(4, 2, hidden, depth, stride, norm, passes)
    cells = math.ceil(height / stride) * math.ceil(width / stride)
    read, write = (2 + 1 + 4) * stride**2 * hidden, hidden * 2 * stride**2
    flops = passes * 2 * cells * (read + depth * 9 * hidden**2 + write)
    biases = hidden + depth * hidden + 2
    scales = 2 * depth * hidden if group else 0
    cost = crm.cost(height, width)
    assert cost.parameters == read + depth * 9 * hidden**2 + write + biases + scales
    assert cost.flops == flops
    assert cost.flops_per_pixel == flops / (height * width)


def test_cost_leaves_the_module_as_it_was() -> None:
    crm = CRM(2).bfloat16().requires_grad_(False)
    crm.cost(10**4, 10**4)
    assert {(p.device.type, p.dtype) for p in crm.parameters()} == {("cpu", torch.bfloat16)}
    assert not any(p.requires_grad for p in crm.parameters())


def test_cost_prints_in_one_line() -> None:
    text = str(CRMCost(12_345, 6_789_000, 1657.47))
    assert text == "12,345 parameters, 6,789,000 FLOPs an image (1,657 a pixel)"


@pytest.mark.parametrize("size", [{"height": 0, "width": 8}, {"height": 8, "width": 2.5}])
def test_cost_of_impossible_images_is_refused(size: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"(height=0|width=2\.5): must be a whole number"):
        CRM(2).cost(**size)


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


@pytest.mark.parametrize(
    "argument", ["condition_channels", "image_channels", "width", "depth", "stride", "passes"]
)
@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_impossible_sizes_are_named(argument: str, value: int) -> None:
    sizes: dict[str, Any] = {"condition_channels": 2} | {argument: value}
    with pytest.raises(ValueError, match=rf"{argument}={value}: must be a whole number"):
        CRM(**sizes)


def test_unknown_normalisations_are_named() -> None:
    with pytest.raises(ValueError, match=r"normalisation='batch': must be 'none' or 'group'"):
        CRM(2, normalisation="batch")  # type: ignore[arg-type]
