"""What params alone can tell is refused when they are read, and nothing that would have worked."""

import math
from typing import Any

import pytest
import torch

from dejavu.config import CRMParams, Params, parse_params
from dejavu.config.consistency import SMALLEST_SIDE
from dejavu.config.networks import architectures
from dejavu.config.redactions import check_size
from dejavu.evaluation.inference import infer
from dejavu.method import distances
from dejavu.method.crm import CRM
from dejavu.method.distances import Reconstruction
from dejavu.method.redaction import REDACTIONS, create_redaction
from dejavu.method.redaction.registry import example_settings
from dejavu.networks.registry import create_model
from dejavu.runtime.errors import ParamsError
from dejavu.tasks.registry import create_task
from tests.support.networks import images, network_params
from tests.support.studies import with_value

SPATIAL = "methods.dejavu-spatial.dejavu"
SPECTRAL = "methods.dejavu-spectral.dejavu"
BLOCKS = {"name": "random_blocks", "block": 20, "keep": 0.3}


def read(*changes: tuple[str, Any]) -> Params:
    (path, value), *others = changes
    tree = with_value(path, value)
    for path, value in others:
        node = tree
        *parents, last = path.split(".")
        for key in parents:
            node = node[key]
        node[last] = value
    return parse_params(tree, "study.yaml")


def refusal(*changes: tuple[str, Any]) -> str:
    with pytest.raises(ParamsError) as caught:
        read(*changes)
    return str(caught.value)


def crop(height: int, width: int) -> tuple[str, Any]:
    return "train.augmentation.crop", [height, width]


FINE = [(f"{SPATIAL}.redaction.block", 2), ("gap.candidates", [])]
ALONE = ("train.batch_size", 1)
SSIM = (f"{SPATIAL}.distance", {"ssim": 1.0})
SPARSE = {"name": "sparse_pixels", "keep": 0.999999}
COMPOSED = {"name": "compose", "redactions": [{"name": "blank"}, BLOCKS]}
SHARED = {"attention": {"redaction": BLOCKS}, "dejavu": {"redaction": BLOCKS, "gamma": 1}}
ATTENDING = ("methods.baseline.attention", {"redaction": BLOCKS})
ATTENDED = "methods.baseline.attention.redaction"


SMALL = "needs images of at least 21 x 21 pixels, but they are"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([(f"{SPATIAL}.redaction.block", 18)], f"{SPATIAL}.crm: the receptive field of 18 pixels"),
        ([(f"{SPATIAL}.crm.depth", 2), (f"{SPATIAL}.crm.stride", 1)], f"{SPATIAL}.crm: "),
        ([(f"{SPATIAL}.redaction", COMPOSED)], f"{SPATIAL}.crm: "),
        ([("gap.candidates", [{"name": "blank"}, BLOCKS])], "gap.candidates.1: the receptive "),
        ([("methods", {"baseline": {}}), ("gap.candidates", [BLOCKS])], "gap.candidates.0: "),
        # The oracle gap of an attention's redaction is measured with a CRM.
        ([("methods.dejavu-spatial", SHARED)], f"{SPATIAL}.crm: "),
        ([(f"{SPECTRAL}.region", "removed")], f"{SPECTRAL}.region: 'removed' needs a spatial"),
        ([(f"{SPATIAL}.redaction.keep", 0.004)], f"{SPATIAL}.redaction: keep=0.004: "),
        ([("gap.candidates", [SPARSE])], "gap.candidates.0: keep=0.999999: "),
        ([*FINE, SSIM, crop(10, 64)], f"{SPATIAL}.distance.ssim: "),
        ([*FINE, (f"{SPATIAL}.distance", {"lpips": 1.0}), crop(64, 16)], f"{SPATIAL}.distance.lp"),
        ([("train.augmentation.border", [0, 65, 0, 64])], "train.augmentation.border: needs imag"),
        (
            [("train.augmentation.border", [0, 8, 0, 64])],
            f"{SPATIAL}.redaction: needs images of at least 9 x 9 pixels, but they are 8 x 64",
        ),
        ([("train.head_rate", 0.1)], "train.head_rate: is 0.1, but feature_pyramid"),
        ([("evaluation.trimap_widths", [1, 2, 1])], "evaluation: trimap_widths: [1, 2, 1] names"),
        ([("evaluation.depth_crop", "eigen")], "evaluation.depth_crop: needs images of 480 x 640"),
        ([("methods.baseline.steps_factor", 0.1), ("train.warmup", 3)], "methods.baseline.steps_"),
        ([ALONE, *FINE, crop(16, 12)], "networks.fpn.architecture: feature_pyramid"),
        ([ALONE, ("networks.fpn", {"architecture": "deeplabv3_resnet50"})], "networks.fpn.archit"),
        ([ATTENDING, ("evaluation.scales", [0.25, 1.0])], f"{ATTENDED}: {SMALL} 16 x 16 in eval"),
        ([ATTENDING, ("evaluation.window", [20, 64])], f"{ATTENDED}: {SMALL} 20 x 64 in eval"),
    ],
)
def test_what_would_fail_later_is_refused_and_the_key_named(
    changes: list[tuple[str, Any]], expected: str
) -> None:
    assert f"study.yaml: {expected}" in refusal(*changes)


@pytest.mark.parametrize(
    "changes",
    [
        [(f"{SPATIAL}.redaction.block", 17)],
        [(f"{SPATIAL}.redaction.block", 18), (f"{SPATIAL}.crm.depth", 4)],
        [ATTENDING],
        [(f"{SPATIAL}.region", "removed")],
        [ALONE, *FINE, crop(16, 17)],
        [("train.augmentation.border", [0, 64, 8, 64])],
        [("methods.baseline.steps_factor", 0.5), ("train.warmup", 2)],
        [*FINE, SSIM, crop(11, 11)],
    ],
)
def test_what_works_is_not_refused(changes: list[tuple[str, Any]]) -> None:
    read(*changes)


def test_an_attentions_redaction_may_be_measured_by_another_methods_crm() -> None:
    regenerated = {"redaction": BLOCKS, "gamma": 1, "crm": {"depth": 4}}
    read(("methods", {"baseline": {}, "first": {"dejavu": regenerated}, "second": SHARED}))


@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize(("stride", "passes"), [(1, 1), (2, 1), (3, 4)])
def test_the_receptive_field_is_the_crms(depth: int, stride: int, passes: int) -> None:
    params = CRMParams(depth=depth, stride=stride, passes=passes)
    assert params.receptive_field == CRM(5, **params.model_dump()).receptive_field


FEW = [{"name": "sparse_pixels", "keep": 0.02}, {"name": "random_blocks", "block": 3, "keep": 0.9}]
PARTS = {"compose": {"redactions": FEW}, "random_choice": {"redactions": FEW[1:] * 2}}


@pytest.mark.parametrize("name", REDACTIONS)
def test_images_are_refused_exactly_where_the_redaction_refuses_them(name: str) -> None:
    redaction = create_redaction(name, **(example_settings(name) | PARTS.get(name, {})))
    for size in ((1, 1), (4, 4), (3, 30), (5, 5), (6, 9), (9, 9), (8, 64), (65, 65)):
        try:
            redaction(torch.zeros(1, 1, *size), torch.Generator().manual_seed(0))
        except ValueError:
            with pytest.raises(ValueError, match=r".+"):
                check_size(redaction, *size)
        else:
            check_size(redaction, *size)


def test_the_smallest_sides_are_the_distances() -> None:
    side = SMALLEST_SIDE["ssim"]
    distance = Reconstruction({"ssim": 1.0}, mean=[0.5] * 3, std=[0.5] * 3)
    distance(torch.zeros(1, 3, side, side), torch.zeros(1, 3, side, side))
    small = torch.zeros(1, 3, side - 1, side)
    with pytest.raises(ValueError, match=f"at least {side} x {side}"):
        distance(small, small)
    assert SMALLEST_SIDE["lpips"] == distances._SQUEEZENET_SIDE  # its weights are not everywhere


POOLED = ["deeplabv3plus", "deeplabv3_mobilenet_v3_large"]
OTHERS = ["fpn", "dpt", "feature_pyramid", "lraspp_mobilenet_v3_large"]


@pytest.mark.parametrize("name", [*POOLED, *OTHERS])
def test_one_image_trains_every_network_that_params_take(name: str) -> None:
    """Above its coarsest stride, unless it pools."""
    facts = architectures()[name]
    assert facts.is_pooled == (name in POOLED)
    model = create_model(network_params(name), 3).train()
    side = facts.stride + 1
    if facts.is_pooled:
        with pytest.raises(ValueError, match="more than 1 value"):
            model(images(1, side, side))
    assert model(images(1 + facts.is_pooled, side, 8)).shape[-2:] == (side, 8)
    if facts.encoder is None and not facts.is_pooled:
        with pytest.raises(ValueError, match="more than 1 value"):
            model(images(1, facts.stride, facts.stride))


@pytest.mark.parametrize(
    "protocol",
    [{}, {"scales": [0.5, 0.3]}, {"window": (20, 99)}, {"scales": [0.4], "window": (9, 9)}],
)
def test_the_smallest_view_is_what_a_network_sees(protocol: dict[str, Any]) -> None:
    evaluation = read(("study", "x")).evaluation.model_copy(update=protocol)
    seen: list[tuple[int, ...]] = []

    class Spy(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(image.shape[-2:]))
            return image[:, :1]

    infer(Spy(), create_task("depth", [[0, 0, 0]]), torch.zeros(1, 3, 33, 47), evaluation)
    smallest = tuple(min(side) for side in zip(*seen, strict=True))
    assert evaluation.smallest_view(33, 47) == smallest
    assert math.prod(smallest) > 0
