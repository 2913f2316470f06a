import math
from typing import Any

import pytest

from dejavu.config.evaluation import EvaluationParams


@pytest.mark.parametrize(
    "settings",
    [
        {"scales": []},
        {"scales": [1.0, 0.0]},
        {"scales": [1.0, 1.0]},
        {"overlap": 1.0},
        {"window": [512]},
        {"window": [0, 512]},
        {"depth_crop": "Eigen"},
        {"min_depth": 20.0},
        {"max_depth": math.inf},
    ],
)
def test_protocols_that_cannot_be_followed_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        EvaluationParams(**settings)
