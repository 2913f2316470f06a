"""Made-up metrics of a study."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

VALUES = {
    ("segmentation", "baseline"): {"miou": [50.0, 52.0, 51.0], "boundary_iou": [30.0, 31.0, 32.0]},
    ("segmentation", "dejavu"): {"miou": [50.5, 53.0, 51.0], "boundary_iou": [31.0, 32.1, 32.9]},
    ("depth", "baseline"): {"rmse": [0.50, 0.52, 0.51], "edge_rmse": [0.9, 0.9, 0.9]},
    ("depth", "dejavu"): {"rmse": [0.45, 0.471, 0.459], "edge_rmse": [1.0, 1.01, 1.02]},
}
UNITS = {
    "miou": ("%", True),
    "boundary_iou": ("%", True),
    "rmse": ("m", False),
    "edge_rmse": ("m", False),
}

Write = Callable[..., Path]


def metrics_of(task: str, method: str, seed: int) -> dict[str, Any]:
    """The content of a metrics file."""
    values = VALUES[task, method]
    primary, boundary = values
    return {
        "study": "tiny",
        "dataset": "rooms",
        "task": task,
        "network": "fpn",
        "method": method,
        "seed": seed,
        "split": "val",
        "images": 8,
        "run": "0123456789abcdef",
        "checkpoint": "results/tiny/checkpoints/x.safetensors",
        "protocol": {"boundary_ratio": 0.02, "edge_width": 2},
        "notes": [],
        "weights": None,
        "primary": primary,
        "boundary": boundary,
        "metrics": [
            {
                "name": name,
                "unit": UNITS[name][0],
                "higher_is_better": UNITS[name][1],
                "value": numbers[seed % 3],
            }
            for name, numbers in values.items()
        ],
    }
