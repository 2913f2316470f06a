"""The official tool of Cityscapes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


def official() -> tuple[Any, Any]:
    """The official tool's evaluation and table of labels."""
    pytest.importorskip("cityscapesscripts", reason="cityscapesscripts is not installed")
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling
    from cityscapesscripts.helpers import labels

    return evalPixelLevelSemanticLabeling, labels


def run_official(tool: Any, folder: Path) -> Any:
    """Score ``results`` against ``gtFine/val``, both below the folder, as the tool's main does."""
    settings = SimpleNamespace(**vars(tool.args) | {"predictionPath": str(folder / "results")})
    settings.predictionWalk = None
    settings.evalInstLevelScore = settings.JSONOutput = False
    settings.quiet = True
    truths = [str(path) for path in sorted(folder.glob("gtFine/val/*/*_gtFine_labelIds.png"))]
    predictions = [tool.getPrediction(settings, truth) for truth in truths]
    return tool.evaluateImgLists(predictions, truths, settings)
