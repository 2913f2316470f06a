"""A CLIP that is small enough for tests."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from dejavu.runtime.torchvision_import import import_torchvision


def open_clip_with_a_tiny_model(folder: Path) -> ModuleType:
    """Import open_clip, or skip the test; it then knows the model ``tiny-clip``."""
    import_torchvision()
    open_clip: ModuleType = pytest.importorskip("open_clip")
    vision = {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8}
    text = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}
    (folder / "tiny-clip.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    return open_clip
