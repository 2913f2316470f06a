import subprocess
import sys

import pytest

import dejavu

BEYOND_TORCH = {"matplotlib", "pandas", "pydantic", "rich", "safetensors", "scipy", "typer", "yaml"}


def test_the_loss_needs_torch_alone() -> None:
    code = "import sys; from dejavu import DejaVuLoss, RandomBlocks, CRM; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "torch" in loaded
    assert not loaded & BEYOND_TORCH


@pytest.mark.parametrize("name", dejavu.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(dejavu, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'dejavu' has no attribute 'DejaVuLos'"):
        _ = dejavu.DejaVuLos
