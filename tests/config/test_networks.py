from typing import Any

import pytest
from pydantic import ValidationError

from dejavu.config.networks import NetworkParams


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": "upernet"}, "encoder: missing, but needed by upernet; give such as"),
        ({"architecture": "hrnet", "encoder": "tu-resnet18"}, "'tu-resnet18' does not fit hrnet"),
        ({"architecture": "dpt", "encoder": "resnet18"}, "give one of timm, tu-"),
        ({"encoder": "resnet18"}, "encoder: feature_pyramid has no encoder to choose"),
        ({"architecture": "fcn_resnet50", "pretrained": True}, "pretrained: fcn_resnet50 has no"),
        ({"architecture": "segformer", "encoder": "mit_b0", "width": 8}, "width: segformer has"),
    ],
)
def test_params_that_contradict_each_other_are_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        NetworkParams(**fields)
