"""Predictions of one's own images: upright, none lost, no photograph written over."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dejavu.config import Params
from dejavu.datasets.reading.raw import Array
from dejavu.reporting.predict import predict_images
from dejavu.runtime.errors import DataError, DejaVuError
from dejavu.study.run import Run
from dejavu.training.loop import train


@pytest.fixture(scope="module")
def checkpoint(params: Params, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(Run(params, "depth", "fpn", "baseline", 0), data, folder, folder / "depth.safetensors")
    return folder / "depth.safetensors"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photograph(path: str, height: int = 32, width: int = 48) -> Path:
    """Save noise that differs by path."""
    draws = np.random.default_rng([*path.encode()])
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draws.integers(0, 255, (height, width, 3), np.uint8)).save(path)
    return Path(path)


def predict(checkpoint: Path, *inputs: str, output: str = "predictions") -> dict[str, Array]:
    """Predict; return the array of each image."""
    made = predict_images(checkpoint, [Path(path) for path in inputs], Path(output))
    return {str(image): np.load(array) for image, array, picture in made if picture.is_file()}


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def test_a_folder_is_predicted_with_its_folders(checkpoint: Path) -> None:
    photograph("photos/one.png", 32, 40)
    photograph("photos/aachen/one.jpg", 48, 32)
    photograph("elsewhere/two.PNG")
    photograph("photos/._one.png")
    photograph("photos/.thumbnails/one.png")
    Path("photos/notes.txt").write_text("no image")
    Path("photos/bochum").symlink_to("../elsewhere")
    Path("photos/loop").symlink_to(".")
    found = predict(checkpoint, "photos")
    assert {path: array.shape for path, array in found.items()} == {
        "photos/one.png": (1, 32, 40),
        "photos/aachen/one.jpg": (1, 48, 32),
        "photos/bochum/two.PNG": (1, 32, 48),
    }
    names = ("one", "aachen/one", "bochum/two")
    made = {f"{name}{suffix}" for name in names for suffix in (".npy", ".png")}
    output = Path("predictions")
    assert {str(path.relative_to(output)) for path in output.rglob("*.*")} == made


def test_predictions_inside_the_folder_are_not_predicted(checkpoint: Path) -> None:
    photograph("one.png")
    for _ in range(2):
        assert [*predict(checkpoint, ".")] == ["one.png"]


def test_an_image_that_is_given_twice_is_predicted_once(checkpoint: Path) -> None:
    photograph("photos/one.png")
    assert [*predict(checkpoint, "photos/one.png", "photos")] == ["photos/one.png"]


def test_a_photograph_is_predicted_as_it_is_seen(checkpoint: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = photograph("upright.png", 48, 32)
    with Image.open(upright) as image:
        image.transpose(Image.Transpose.ROTATE_90).save("phone.png", exif=exif)
    found = predict(checkpoint, "upright.png", "phone.png")
    assert found["phone.png"].shape == (1, 48, 32)
    np.testing.assert_array_equal(found["phone.png"], found["upright.png"])


def test_a_grey_image_of_16_bits_is_predicted_as_that_of_8(checkpoint: Path) -> None:
    ramp = np.linspace(0, 255, 32 * 32).astype(np.uint8).reshape(32, 32)
    Image.fromarray(ramp).save("eight.png")
    Image.fromarray(ramp.astype(np.uint16) * 257).save("sixteen.png")
    Image.fromarray(np.full_like(ramp, 255)).save("white.png")
    found = predict(checkpoint, "eight.png", "sixteen.png", "white.png")
    np.testing.assert_array_equal(found["sixteen.png"], found["eight.png"])
    assert (found["sixteen.png"] != found["white.png"]).any()


@pytest.mark.parametrize(
    "inputs",
    [
        ("aachen/1.png", "bochum/1.png"),
        ("aachen/1.png", "1.jpg"),
        ("aachen", "bochum"),
    ],
)
def test_images_of_one_name_are_refused_before_any_is_predicted(
    inputs: tuple[str, str], checkpoint: Path
) -> None:
    for path in ("aachen/1.png", "bochum/1.png", "1.jpg", "0.png"):
        photograph(path)
    before = files()
    with pytest.raises(DejaVuError, match=r"/?1\..* and .*1\..*: .*predictions/1\.npy"):
        predict(checkpoint, "0.png", *inputs)
    assert files() == before


@pytest.mark.parametrize("output", [".", "photos", "photos/../photos", "link"])
def test_predictions_are_not_written_among_the_images(output: str, checkpoint: Path) -> None:
    """one.png and two.png are no inputs; their names alone would lose them."""
    for path in ("photos/one.jpg", "photos/one.png", "two.jpg", "two.png"):
        photograph(path)
    Path("link").symlink_to("photos")
    before = files()
    with pytest.raises(DejaVuError, match=r"--output: .* holds the image .*(one|two)\.jpg"):
        predict(checkpoint, "photos/one.jpg", "two.jpg", output=output)
    assert files() == before


@pytest.mark.parametrize("output", ["photos", "link"])
def test_the_folder_of_images_is_not_the_output(output: str, checkpoint: Path) -> None:
    photograph("photos/aachen/one.png")
    Path("link").symlink_to("photos")
    before = files()
    with pytest.raises(DejaVuError, match=r"--output: .* holds the image .*one\.png"):
        predict(checkpoint, "photos", output=output)
    assert files() == before


def test_an_image_behind_a_link_is_not_written_over(checkpoint: Path) -> None:
    photograph("photos/one.png")
    Path("out").mkdir()
    Path("out/one.png").hardlink_to("photos/one.png")
    before = files()
    with pytest.raises(DejaVuError, match=r"out/one\.png: is read"):
        predict(checkpoint, "photos/one.png", output="out")
    assert files() == before


def test_what_is_no_image_is_named(checkpoint: Path) -> None:
    photograph("whole.png")
    with pytest.raises(DataError, match=r"gone\.png: no such image"):
        predict(checkpoint, "whole.png", "gone.png")
    assert not Path("predictions").exists()
    Path("folder.png").mkdir()
    with pytest.raises(DataError, match=r"folder\.png: has no image"):
        predict(checkpoint, "folder.png")
    Path("cut.png").write_bytes(Path("whole.png").read_bytes()[:200])
    with pytest.raises(DataError, match=r"cut\.png: cannot be decoded"):
        predict(checkpoint, "cut.png")
