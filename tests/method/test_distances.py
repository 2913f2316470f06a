import copy
import hashlib
import math
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity as skimage_ssim
from torch import Tensor

from dejavu.method.distances import TERMS, Reconstruction, structural_similarity
from dejavu.runtime.errors import DejaVuError
from dejavu.runtime.torchvision_import import import_torchvision

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SQUEEZENET = "squeezenet1_1-b8a52dc0.pth"
PIXELWISE = ("mse", "l1", "ssim")

few = settings(max_examples=15)


def distance(*terms: str, **weights: float) -> Reconstruction:
    return Reconstruction(dict.fromkeys(terms, 1.0) | weights, mean=MEAN, std=STD)


def rgb(height: int = 24, width: int = 20, seed: int = 0) -> Tensor:
    """Images between noise and flat colour."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2, 3, 3, 3, generator=g)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (smooth + 0.1 * torch.rand(2, 3, height, width, generator=g)) / 1.1


def normalised(image: Tensor) -> Tensor:
    return (image - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def noisy(image: Tensor, sigma: float, seed: int = 9) -> Tensor:
    return image + sigma * torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))


def some_pixels(image: Tensor, seed: int = 3) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return (torch.rand(image[:, :1].shape, generator=g) < 0.4).float()


def no_download(*_: Any, **__: Any) -> None:
    raise URLError("no route to host")


@pytest.fixture(scope="module")
def torch_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of torch hub in which SqueezeNet's weights are random ones."""
    home = tmp_path_factory.mktemp("torch")
    checkpoints = home / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = import_torchvision().models.squeezenet1_1(weights=None)
    torch.save(network.state_dict(), checkpoints / SQUEEZENET)
    return home


@pytest.fixture
def weights(torch_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(torch_home))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_download)
    file = torch_home / "hub" / "checkpoints" / SQUEEZENET
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr("dejavu.method.distances._SQUEEZENET_SHA256", digest)


def error_by_hand(name: str, regenerated: Tensor, image: Tensor, compared: Tensor) -> float:
    """Mean error over the compared pixels, summed in a loop."""
    total, number = 0.0, 0
    errors = np.abs(regenerated.double().numpy() - image.double().numpy())
    for sample, row, column in np.ndindex(*image[:, 0].shape):
        if compared[sample, 0, row, column]:
            total += float((errors[sample, :, row, column] ** {"mse": 2, "l1": 1}[name]).sum())
            number += image.shape[1]
    return total / number


@pytest.mark.parametrize("name", ["mse", "l1"])
def test_errors_are_means_over_the_compared_pixels_and_channels(name: str) -> None:
    image = normalised(rgb())
    regenerated, compared = noisy(image, 0.5), some_pixels(image)
    everywhere = torch.ones_like(compared)
    term = Reconstruction({name: 1.0})
    value = term(regenerated, image, compared)
    assert value.shape == ()
    assert value.dtype == torch.float32
    expected = error_by_hand(name, regenerated, image, compared)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    for nothing_left_out in (None, everywhere, everywhere.bool()):
        value = term(regenerated, image, nothing_left_out)
        expected = error_by_hand(name, regenerated, image, everywhere)
        assert value.item() == pytest.approx(expected, rel=1e-5)


def skimage_map(first: Tensor, second: Tensor) -> np.ndarray[Any, Any]:
    rules: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    rules |= {"data_range": 1, "channel_axis": 0, "full": True}
    pairs = zip(first.double().numpy(), second.double().numpy(), strict=True)
    return np.stack([skimage_ssim(x, y, **rules)[1] for x, y in pairs])


@given(st.integers(11, 30), st.integers(11, 30), st.floats(0.001, 1), st.integers(0, 99))
@few
def test_similarity_agrees_with_scikit_image_up_to_the_border(
    height: int, width: int, sigma: float, seed: int
) -> None:
    image = rgb(height, width, seed)
    regenerated = noisy(image, sigma)
    made = structural_similarity(regenerated, image)
    np.testing.assert_allclose(made.numpy(), skimage_map(regenerated, image), atol=5e-4)


@pytest.mark.parametrize("masked", [False, True])
def test_ssim_is_one_minus_the_mean_similarity_of_rgb(masked: bool) -> None:
    image = rgb()
    regenerated = noisy(image, 0.1)
    compared = some_pixels(image) if masked else torch.ones_like(image[:, :1])
    value = distance("ssim")(
        normalised(regenerated), normalised(image), compared if masked else None
    )
    counted = np.broadcast_to(compared.bool().numpy(), image.shape)
    expected = 1 - skimage_map(regenerated, image)[counted].mean()
    assert expected > 0.1
    assert value.item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["ssim", "mse", "l1"])
def test_gradients_are_slopes(name: str) -> None:
    image = normalised(rgb())
    regenerated, compared = noisy(image, 0.3).requires_grad_(), some_pixels(image)
    term = distance(name)
    (gradient,) = torch.autograd.grad(term(regenerated, image, compared), regenerated)
    step = 1e-3 * gradient.sign()
    with torch.no_grad():
        ahead, behind = (term(regenerated + s, image, compared) for s in (step, -step))
    assert (ahead - behind).item() == pytest.approx(2e-3 * gradient.abs().sum().item(), rel=0.03)


@given(st.sets(st.sampled_from(PIXELWISE), min_size=1), st.floats(0.01, 100))
@few
def test_terms_are_summed_with_their_weights(names: set[str], scale: float) -> None:
    image = normalised(rgb())
    regenerated = noisy(image, 0.3)
    chosen = {name: scale * (1 + PIXELWISE.index(name)) for name in names}
    expected = sum(w * distance(name)(regenerated, image).item() for name, w in chosen.items())
    assert distance(**chosen)(regenerated, image).item() == pytest.approx(expected, rel=1e-5)


def test_the_default_is_the_mean_squared_error() -> None:
    image = torch.zeros(1, 4, 2, 2)
    assert Reconstruction()(image + 3, image).item() == 9


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("name", TERMS)
def test_equal_images_are_at_no_distance(name: str) -> None:
    image = normalised(rgb())
    assert distance(name)(image, image).item() == pytest.approx(0, abs=1e-6)
    assert distance(name)(image, image, some_pixels(image)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("name", TERMS)
def test_distances_grow_with_the_distortion(name: str) -> None:
    image = normalised(rgb())
    values = [distance(name)(noisy(image, s), image).item() for s in (0.03, 0.1, 0.3, 1)]
    assert values[0] > 0
    assert all(more > 1.5 * less for less, more in pairwise(values))


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("name", TERMS)
def test_gradients_reach_what_is_compared_but_not_the_image(name: str) -> None:
    image = normalised(rgb(32, 32)).requires_grad_()
    regenerated = noisy(image.detach(), 0.3).requires_grad_()
    compared = torch.zeros(2, 1, 32, 32)
    compared[..., 4:28, :20] = 1
    distance(name)(regenerated, image, compared).backward()
    assert image.grad is None
    assert regenerated.grad is not None
    slopes = regenerated.grad.abs().amax(1, keepdim=True)
    assert (slopes[compared.bool()] > 0).float().mean() > 0.99
    reach = 5 if name == "ssim" else 0  # half of the window of a compared pixel
    assert not slopes[..., 20 + reach :].any()


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("masked", [False, True])
def test_under_autocast_distances_stay_float32(name: str, masked: bool) -> None:
    image = normalised(rgb())
    regenerated = noisy(image, 1e-3)
    compared = some_pixels(image) if masked else None
    term = distance(name)
    exact = term(regenerated, image, compared)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = term(regenerated, image, compared)
    assert value.dtype == torch.float32
    assert value.item() == exact.item()


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("name", TERMS)
def test_bfloat16_is_computed_in_float32(name: str) -> None:
    image = normalised(rgb()).bfloat16()
    regenerated = noisy(image, 0.05).bfloat16()
    compared = some_pixels(image).bfloat16()
    term = distance(name)
    exact = term(regenerated.float(), image.float(), compared.float())
    value = term.bfloat16()(regenerated, image, compared)
    assert value.dtype == torch.float32
    assert value.item() == exact.item()


def test_many_pixels_are_counted_exactly_in_half_precision() -> None:
    """bfloat16 holds neither 4095 pixels nor the square of 19."""
    image = torch.zeros(1, 3, 63, 65, dtype=torch.bfloat16)
    compared = torch.ones(1, 1, 63, 65, dtype=torch.bfloat16)
    assert Reconstruction()(image + 19, image, compared).item() == pytest.approx(361)


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("name", TERMS)
def test_memory_format_does_not_matter(name: str) -> None:
    image = normalised(rgb())
    regenerated, compared = noisy(image, 0.3), some_pixels(image)
    maps = [m.to(memory_format=torch.channels_last) for m in (regenerated, image, compared)]
    expected = distance(name)(regenerated, image, compared).item()
    assert distance(name)(*maps).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.usefixtures("weights")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", TERMS)
def test_cuda_agrees_with_the_cpu(name: str) -> None:
    """The criterion was never moved: it follows the image."""
    image = normalised(rgb())
    maps = [noisy(image, 0.3), image, some_pixels(image)]
    there = distance(name)(*(m.cuda() for m in maps))
    assert there.item() == pytest.approx(distance(name)(*maps).item(), rel=2e-3)


@pytest.mark.usefixtures("weights")
def test_lpips_agrees_with_torchmetrics() -> None:
    from torchmetrics.functional.image.lpips import learned_perceptual_image_patch_similarity

    image, regenerated = rgb(32, 40), rgb(32, 40, seed=1)
    value = distance("lpips")(normalised(regenerated), normalised(image))
    expected = learned_perceptual_image_patch_similarity(
        regenerated, image, net_type="squeeze", normalize=True
    )
    assert expected > 1e-4
    assert value.item() == pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.usefixtures("weights")
def test_lpips_shows_the_image_where_no_pixel_counts() -> None:
    image = normalised(rgb(32, 32))
    regenerated, compared = noisy(image, 0.5), some_pixels(image)
    term = distance("lpips")
    pasted = compared * regenerated + (1 - compared) * image
    value = term(regenerated, image, compared).item()
    assert value == pytest.approx(term(pasted, image).item(), rel=1e-4)
    assert value != pytest.approx(term(regenerated, image).item(), rel=0.05)


@pytest.mark.usefixtures("weights")
def test_the_network_of_lpips_is_frozen_and_no_part_of_the_module() -> None:
    before = torch.get_rng_state()
    term = distance(*TERMS)
    assert torch.equal(torch.get_rng_state(), before), "draws from the global stream"
    assert not list(term.parameters())
    assert not list(term.buffers())
    assert not term.state_dict()
    image = normalised(rgb())
    regenerated = noisy(image, 0.3)
    expected = term.eval()(regenerated, image).item()
    training = term.train()
    # Dropout, were it on, would make two training passes differ.
    assert [training(regenerated, image).item() for _ in range(2)] == [expected] * 2
    assert copy.deepcopy(term)(regenerated, image).item() == expected


def test_missing_weights_are_named_with_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_download)
    with pytest.raises(DejaVuError) as raised:
        distance("lpips")
    message = str(raised.value)
    assert f"weights {SQUEEZENET} in {tmp_path / 'hub' / 'checkpoints'}" in message
    assert "no route to host" in message
    assert f"Download https://download.pytorch.org/models/{SQUEEZENET} into" in message
    assert "set TORCH_HOME" in message


def test_damaged_weights_are_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / SQUEEZENET).write_bytes(b"not weights")
    with pytest.raises(DejaVuError, match=SQUEEZENET):
        distance("lpips")


def test_weights_that_are_not_the_published_ones_are_named(
    torch_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(torch_home))
    digest = hashlib.sha256((torch_home / "hub/checkpoints" / SQUEEZENET).read_bytes()).hexdigest()
    with pytest.raises(DejaVuError, match=rf"{SQUEEZENET}.*{digest}"):
        distance("lpips")


@pytest.mark.parametrize(
    ("module", "message"),
    [("torchmetrics.image.lpip", "pip install torchmetrics"), ("torchvision", "pip install")],
)
def test_missing_libraries_are_named(
    module: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"{module.split('.')[0]}.*{message}"):
        distance("lpips")


@pytest.mark.parametrize(
    ("weights", "normalisation", "message"),
    [
        ({}, {}, r"weights=\{\}: must name at least one of mse, l1, ssim, lpips"),
        ({"mes": 1}, {}, r"weights has 'mes': no such term; did you mean 'mse'\?"),
        ({"psnr_": 1}, {}, r"'psnr_': no such term; known: mse, l1, ssim, lpips"),
        ({"mse": 0}, {}, r"weights has mse=0: must be finite and above 0"),
        ({"l1": math.inf}, {}, r"weights has l1=inf"),
        ({"l1": math.nan}, {}, r"weights has l1=nan"),
        ({"mse": 1, "ssim": 1}, {}, r"weights has 'ssim', which compares rgb: give mean and std"),
        ({"lpips": 1}, {}, r"weights has 'lpips', which compares rgb"),
        ({"ssim": 1}, {"mean": [0]}, r"mean=\[0\], std=None: must both have one value per"),
        ({"ssim": 1}, {"std": [1]}, r"mean=None, std=\[1\]: must both have one value per"),
        ({"mse": 1}, {"mean": [0, 0], "std": [1]}, r"mean=\[0, 0\], std=\[1\]: must both"),
        ({"mse": 1}, {"mean": [math.nan], "std": [1]}, r"mean=\[nan\]: must be finite"),
        ({"mse": 1}, {"mean": [0], "std": [0]}, r"std=\[0\]: must be finite and above 0"),
        ({"lpips": 1}, {"mean": [0], "std": [1]}, r"mean=\[0\]: must have the 3 channels"),
    ],
)
def test_impossible_arguments_are_named(
    weights: dict[str, float], normalisation: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Reconstruction(weights, **normalisation)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regenerated": torch.zeros(1, 3, 24, 20)}, r"regenerated has shape \(1, 3, 24, 20\)"),
        ({"image": torch.full((2, 3, 24, 20), math.nan)}, r"image must be finite, but is nan"),
        ({"image": torch.zeros(2, 3, 24, 20).byte()}, r"image has dtype torch.uint8"),
        ({"compared": torch.ones(2, 3, 24, 20)}, r"compared has shape .* \(2, 1, 24, 20\)"),
        ({"compared": torch.ones(1, 1, 24, 20)}, r"compared has shape .* \(2, 1, 24, 20\)"),
        ({"compared": torch.zeros(2, 1, 24, 20)}, r"compared is 0 everywhere"),
        ({"compared": torch.full((2, 1, 24, 20), 0.5)}, r"compared must contain only 0"),
        ({"compared": torch.full((2, 1, 24, 20), math.nan)}, r"compared must contain only"),
    ],
)
def test_bad_input_is_refused(changes: dict[str, Tensor], message: str) -> None:
    maps = {"regenerated": rgb(), "image": rgb(), "compared": None} | changes
    with pytest.raises(ValueError, match=message):
        Reconstruction()(**maps)


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize(("name", "side"), [("ssim", 11), ("lpips", 17)])
def test_images_need_the_size_of_the_window(name: str, side: int) -> None:
    term, image = distance(name), torch.zeros(1, 3, side, side)
    assert term(image + 0.1, image).isfinite()
    with pytest.raises(ValueError, match=rf"image is {side} x {side - 1}; .* {side} x {side}"):
        term(image[..., 1:] + 0.1, image[..., 1:])


def test_maps_that_would_be_broadcast_are_refused() -> None:
    image = torch.zeros(1, 1, 16, 16)
    with pytest.raises(ValueError, match=r"image has 1 channels, but mean and std 3"):
        distance("mse")(image, image)
    with pytest.raises(ValueError, match=r"regenerated has shape \(1, 1, 16, 16\)"):
        structural_similarity(image, torch.zeros(2, 1, 16, 16))


def test_similarity_of_bfloat16_images_is_computed_in_float32() -> None:
    image = rgb().bfloat16()
    regenerated = noisy(image, 0.1).bfloat16()
    made = structural_similarity(regenerated, image)
    assert torch.equal(made, structural_similarity(regenerated.float(), image.float()))
