import subprocess
import sys

import pytest

import dejavu

BEYOND_TORCH = {
    *("matplotlib", "seaborn", "open_clip", "pandas", "pydantic", "rich", "safetensors", "scipy"),
    *("torchmetrics", "torchvision", "typer", "yaml"),
}
CORE = (
    "DejaVuLoss, RandomBlocks, CRM, CyclicLoss, TextLoss, SharedAttention, SharedAttentionLoss, "
    "FeatureTap, load_clip, create_redaction"
)


def test_the_loss_needs_torch_alone() -> None:
    code = f"import sys; from dejavu import {CORE}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "torch" in loaded
    assert not loaded & BEYOND_TORCH


def test_training_and_scoring_on_rooms_do_not_wait_for_torchvision() -> None:
    """Its import takes as long as torch's own, and each job of a study would pay it."""
    code = "import sys, dejavu.training.loop, dejavu.evaluation.score; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "torch" in loaded
    assert not loaded & {"torchvision", "timm", "lightning", "pandas"}


@pytest.mark.parametrize("name", dejavu.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(dejavu, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'dejavu' has no attribute 'DejaVuLos'"):
        _ = dejavu.DejaVuLos
