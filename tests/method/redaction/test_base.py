"""What holds of every redaction."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dejavu.method.redaction import Blank, Identity, Redaction, SpatialRedaction
from dejavu.method.redaction.base import settings_of
from tests.support.redactions import ALL, FILLED, few, images, seeded, sides


@given(st.sampled_from(ALL + FILLED), st.integers(1, 3), st.integers(1, 4), sides, sides)
@few
def test_shape_and_dtype_are_kept(
    redaction: Redaction, batch: int, channels: int, height: int, width: int
) -> None:
    for dtype in (torch.bfloat16, torch.float32):
        image = images(batch, channels, height, width).to(dtype)
        before = image.clone()
        redacted, keep = redaction(image, seeded())
        assert redacted.shape == image.shape
        assert redacted.dtype == dtype
        assert torch.equal(image, before), "changed in place"
        if redaction.kind == "spectral":
            assert keep is None
        else:
            assert keep is not None
            assert keep.shape == (batch, 1, height, width)
            assert keep.dtype == dtype


@pytest.mark.parametrize("redaction", ALL + FILLED, ids=repr)
def test_draws_depend_on_the_generator_alone(redaction: Redaction) -> None:
    image = images(4, 3, 16, 16)
    torch.manual_seed(1)
    first = redaction(image, seeded(5))
    torch.manual_seed(2)
    again = redaction(image, seeded(5))
    assert torch.equal(first.image, again.image)
    state = torch.get_rng_state()
    redaction(image, seeded(6))
    assert torch.equal(torch.get_rng_state(), state), "drew from the global generator"


@pytest.mark.parametrize("redaction", ALL + FILLED, ids=repr)
def test_memory_format_changes_nothing(redaction: Redaction) -> None:
    image = images(2, 3, 11, 14)
    plain = redaction(image, seeded())
    last = redaction(image.to(memory_format=torch.channels_last), seeded())
    torch.testing.assert_close(plain.image, last.image, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("redaction", ALL + FILLED, ids=repr)
def test_autocast_changes_nothing(redaction: Redaction) -> None:
    image = images(2, 3, 12, 16)
    plain = redaction(image, seeded())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(redaction(image, seeded()).image, plain.image)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("redaction", ALL + FILLED, ids=repr)
def test_a_cpu_generator_gives_the_same_on_cuda(redaction: Redaction) -> None:
    image = images(2, 3, 11, 14)
    here, there = redaction(image, seeded()), redaction(image.cuda(), seeded())
    assert there.image.is_cuda
    torch.testing.assert_close(here.image, there.image.cpu(), atol=1e-5, rtol=1e-5)
    if here.keep is not None:
        assert there.keep is not None
        assert torch.equal(here.keep, there.keep.cpu())


def test_the_two_ends() -> None:
    image = images(2, 3, 6, 7)
    blank, nothing = Blank()(image)
    identity, everything = Identity()(image)
    assert not blank.any()
    assert nothing is not None
    assert not nothing.any()
    assert torch.equal(identity, image)
    assert everything is not None
    assert (everything == 1).all()
    assert Identity().hole == 0
    assert Identity().kind == "none"


# Settings


@dataclass(frozen=True)
class Stripes(SpatialRedaction):
    """A redaction of a user's own, with a field that is no setting, of a type not known here."""

    name = "stripes"
    width: int = 2
    note: "Nowhere" = ""  # type: ignore[name-defined] # noqa: F821

    def _keep(self, batch: int, height: int, width: int, generator: Any) -> Tensor:
        return (torch.arange(width) // self.width % 2 == 0).expand(batch, height, width)


def test_a_redaction_of_ones_own_needs_no_registry() -> None:
    assert [*settings_of(Stripes)] == ["fill"]
    assert Stripes(fill="noise")(images(2, 3, 4, 8), seeded()).keep is not None
    with pytest.raises(ValueError, match=r"fill='grey': must be 'zero' or 'mean' or 'noise'"):
        Stripes(fill="grey")  # type: ignore[arg-type]


@pytest.mark.parametrize("redaction", ALL, ids=repr)
def test_the_smallest_image_is_redacted_and_no_smaller_one(redaction: Redaction) -> None:
    side = redaction.smallest_side
    if side > 1:
        with pytest.raises(ValueError, match=f"needs at least {side} x {side}"):
            redaction(images(1, 3, 20, side - 1))
        assert redaction(images(1, 3, side, 20), seeded()).image.isfinite().all()


# Bad input


@pytest.mark.parametrize("redaction", ALL, ids=repr)
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(3, 16, 16), r"image has shape \(3, 16, 16\); it must be B x C x H x W"),
        (torch.zeros(0, 3, 16, 16), r"image has shape \(0, 3, 16, 16\)"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), r"image has dtype torch.uint8"),
        (torch.full((1, 3, 16, 16), math.inf), r"must be finite, but is inf at .* \(0, 0, 0, 0\)"),
    ],
)
def test_bad_images_are_refused(redaction: Redaction, image: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        redaction(image)


def test_one_bad_value_is_found() -> None:
    image = images(2, 3, 8, 9)
    image[1, 2, 7, 4] = math.nan
    with pytest.raises(ValueError, match=r"but is nan at .* \(1, 2, 7, 4\)"):
        Identity()(image)


@pytest.mark.parametrize(("dtype", "value"), [(torch.float32, 3e38), (torch.float16, 6e4)])
def test_large_values_are_finite(dtype: torch.dtype, value: float) -> None:
    assert Identity()(torch.full((1, 3, 8, 8), value, dtype=dtype)).image.max() > 5e4
