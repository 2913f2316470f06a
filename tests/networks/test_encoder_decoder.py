import copy
from typing import Any

import numpy as np
import pytest
import torch
from skimage.transform import resize
from torch import nn

from dejavu.method.features import FeatureTap
from dejavu.networks.encoder_decoder import EncoderDecoder, HRNetDecoder
from dejavu.networks.encoders import model_library
from dejavu.networks.registry import dense_head
from tests.support.networks import CLASSES, ENCODERS, images, network


@pytest.mark.parametrize("architecture", ["deeplabv3plus", "fpn", "segformer", "upernet"])
def test_features_are_those_of_smps_network(architecture: str) -> None:
    smp = model_library("segmentation_models_pytorch")
    ours: Any = copy.deepcopy(network(architecture))
    options = {"dynamic_img_size": True} if architecture == "upernet" else {}
    theirs = smp.create_model(
        architecture, ENCODERS[architecture], encoder_weights=None, classes=CLASSES, **options
    ).eval()
    theirs.encoder.load_state_dict(ours.encoder.state_dict())
    theirs.decoder.load_state_dict(ours.decoder.state_dict())
    theirs.segmentation_head[0].load_state_dict(ours.head[0].state_dict())
    our_tap, their_tap = FeatureTap(ours, dense_head(ours)), FeatureTap(theirs, "segmentation_head")
    image = images(2, 64, 96)
    ours(image)
    theirs(ours.renormalise(image))
    torch.testing.assert_close(our_tap.features, their_tap.features)


def test_hrnet_joins_all_resolutions_at_the_finest() -> None:
    decoder = HRNetDecoder([3, 3]).eval().requires_grad_(False)
    nn.init.dirac_(decoder.mix.weight)
    nn.init.zeros_(decoder.mix.bias)  # type: ignore[arg-type]
    fine, coarse = images(1, 8, 12), images(1, 4, 6)
    rows = coarse[0].permute(1, 2, 0).double().numpy()
    enlarged = resize(rows, (8, 12, 3), order=1, mode="edge", anti_aliasing=False)
    expected = np.concatenate([fine[0].numpy(), enlarged.transpose(2, 0, 1)])
    np.testing.assert_allclose(decoder([fine, coarse])[0], np.maximum(expected, 0), atol=1e-4)


def test_hrnet_reads_its_encoders_own_resolutions() -> None:
    model = network("hrnet")
    assert isinstance(model, EncoderDecoder)
    features = model.encoder(images(1, 64, 64))
    # A width of 16 doubles as the resolution halves, from a quarter of the image on.
    assert [tuple(f.shape[1:]) for f in features] == [
        (16, 16, 16),
        (32, 8, 8),
        (64, 4, 4),
        (128, 2, 2),
    ]
