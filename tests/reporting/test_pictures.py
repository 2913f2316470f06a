import numpy as np
import torch
from torch import Tensor

from dejavu.data.sample import IGNORE_INDEX
from dejavu.reporting.pictures import colour, colour_error, error
from dejavu.tasks.base import Task
from dejavu.tasks.depth import Depth
from dejavu.tasks.normals import Normals
from dejavu.tasks.segmentation import Segmentation
from tests.support.tasks import PALETTE, every, made, masked, output, sample


@every
def test_pictures_are_rgb(name: str) -> None:
    task, batch = made(name), sample()
    target = task.target(batch)
    prediction = task.predict(output(task))
    for picture in (colour(task, target), colour_error(task, prediction, target)):
        assert picture.shape == (2, 6, 5, 3)
        assert picture.dtype == torch.uint8


@every
def test_what_is_right_or_unknown_has_no_error(name: str) -> None:
    task = made(name)
    target, prediction = task.target(sample()), task.predict(output(task))
    assert error(task, target, target).max() < 1e-3
    found = error(task, prediction, masked(target))
    assert found[0].abs().sum() == 0
    assert found[1].sum() > 0
    assert colour_error(task, prediction, masked(target))[0].max() <= 4  # black


def test_labels_have_the_colours_of_the_palette_and_unknown_is_black() -> None:
    labels = torch.tensor([[[1, 3, IGNORE_INDEX]]])
    assert colour(Segmentation(PALETTE), labels)[0, 0].tolist() == [
        [255, 0, 0],
        [0, 0, 255],
        [0, 0, 0],
    ]


def test_near_is_red_far_is_blue_and_unknown_is_black() -> None:
    depth = torch.tensor([0.1, 20.0, 0.0]).view(1, 1, 1, 3)
    near, far, unknown = colour(Depth(), depth)[0, 0].tolist()
    assert near[0] > near[2]
    assert far[2] > far[0]
    assert unknown == [0, 0, 0]


def test_normals_are_drawn_with_the_camera_bluish() -> None:
    towards = torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1)
    assert colour(Normals(), towards).flatten().tolist() == [128, 128, 255]


def test_errors_are_those_of_the_tasks() -> None:
    depth, normals, batch = Depth(), Normals(), sample()
    metres = depth.predict(output(depth))
    relative = (metres - batch.depth).abs().numpy() / batch.depth.numpy()
    found = error(depth, metres, batch.depth).numpy()
    np.testing.assert_allclose(found, relative[:, 0].clip(0, 1), rtol=1e-6)
    vectors = normals.predict(output(normals))
    cosines = np.sum(vectors.double().numpy() * batch.normals.double().numpy(), axis=1)
    angles = np.degrees(np.arccos(cosines.clip(-1, 1)))
    np.testing.assert_allclose(error(normals, vectors, batch.normals), angles / 180, atol=1e-3)


def test_a_task_without_pictures_of_its_own_is_drawn_by_its_condition() -> None:
    class Halves:
        """A task whose condition is half the prediction; -9 is unknown."""

        def encode(self, target: Tensor) -> Tensor:
            return target / 2 * (target != -9)

    task: Task = Halves()  # type: ignore[assignment]
    dark, bright, unknown = colour(task, torch.tensor([[[[-2.0, 2.0, -9.0]]]]))[0, 0].tolist()
    assert (dark, bright) == ([68, 1, 84], [253, 231, 36])  # the ends of viridis
    assert unknown == [0, 0, 0]
    truth = torch.tensor([[[[-2.0, 1.0, -9.0]]]])
    assert error(task, torch.full_like(truth, 2.0), truth).tolist() == [[[1.0, 0.25, 0.0]]]
