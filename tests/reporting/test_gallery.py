import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from dejavu import cli
from dejavu.config import TrainParams
from dejavu.evaluation.gap import redaction_label
from dejavu.method.redaction import REDACTIONS
from dejavu.reporting import gallery
from dejavu.reporting.figures import QualitativeRow, save
from dejavu.runtime.seeding import generator
from dejavu.tasks.segmentation import Segmentation
from dejavu.training.criterion import build_redaction


@pytest.fixture(scope="module")
def photographs() -> gallery.Scenes:
    return gallery.photographs()


@pytest.fixture
def few_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "_TRAINING_SCENES", 3)


def ramp(height: int, width: int) -> gallery.Scenes:
    """One scene whose red channel holds the label, which differs between all columns."""
    label = torch.arange(width).expand(height, width)[None]
    image = torch.stack([label, label * 0, label * 0], dim=1).float()
    task = Segmentation([(i, i, i) for i in range(width)])
    return gallery.Scenes(["ramp"], image, label, image, label, task, "")


def test_every_redaction_is_shown() -> None:
    shown = [build_redaction(redaction.model_dump()) for redaction in gallery.SHOWN]
    assert {type(redaction) for redaction in shown} == set(REDACTIONS.values())
    fills = {r.fill for r in gallery.SHOWN if r.name == "random_blocks"}
    assert fills == {"zero", "mean", "noise"}
    assert len({redaction_label(redaction) for redaction in gallery.SHOWN}) == len(shown)


def test_spectrum_of_a_wave_is_two_points() -> None:
    rows, columns = np.mgrid[:16, :24]
    wave = np.cos(2 * np.pi * (3 * rows / 16 + 5 * columns / 24))
    spectrum = gallery.spectrum(torch.from_numpy(wave).expand(1, 3, -1, -1))[0]
    # Half of the sum of squares, 16 x 24 / 2, is at each of both frequencies.
    expected = np.log10(np.sqrt(16 * 24) / 2)
    assert spectrum[8 + 3, 12 + 5] == pytest.approx(expected)
    assert spectrum[8 - 3, 12 - 5] == pytest.approx(expected)
    assert (spectrum > -10).sum() == 2


def test_spectrum_is_numpys_of_the_luminance() -> None:
    image = np.random.default_rng(0).standard_normal((2, 3, 15, 20))
    luminance = 0.299 * image[:, 0] + 0.587 * image[:, 1] + 0.114 * image[:, 2]
    reference = np.fft.fftshift(np.fft.fft2(luminance, norm="ortho"), axes=(1, 2))
    spectrum = gallery.spectrum(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(spectrum, np.log10(np.abs(reference)), atol=1e-9)


def test_photographs_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **settings: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    scenes = gallery.photographs()
    assert scenes.pool.shape == (2, 3, 192, 192)
    assert scenes.image.shape == (2, 3, 96, 96)


def test_photographs_are_shown_in_part_and_conditioned_one_hot(
    photographs: gallery.Scenes,
) -> None:
    condition = photographs.task.encode(photographs.label)
    assert condition.shape == (2, gallery.CLUSTERS, 96, 96)
    assert (condition.sum(1) == 1).all()
    assert set(condition.unique().tolist()) == {0, 1}
    assert photographs.pool_label.unique().tolist() == list(range(gallery.CLUSTERS))
    for shown, label, whole, labels in zip(
        photographs.image,
        photographs.label,
        photographs.pool,
        photographs.pool_label,
        strict=True,
    ):
        windows = whole.unfold(1, 96, 1).unfold(2, 96, 1)
        same = (windows == shown[:, None, None]).all((0, 3, 4)).nonzero()
        ((top, left),) = same.tolist()
        assert torch.equal(labels[top : top + 96, left : left + 96], label)


def test_rooms_are_shown_that_were_not_trained_on(few_rooms: None) -> None:
    rooms = gallery.rooms()
    assert rooms.pool.shape == (3, 3, 64, 64)
    assert rooms.image.shape == (2, 3, 64, 64)
    assert not any(torch.equal(shown, seen) for shown in rooms.image for seen in rooms.pool)
    assert (rooms.task.encode(rooms.label).sum(1) == 1).all()


def test_clusters_are_colours_in_order_of_lightness() -> None:
    colours = [(0, 0, 0), (90, 0, 0), (0, 60, 160), (0, 150, 0), (250, 170, 0), (255, 255, 255)]
    order = [3, 0, 5, 1, 4, 2]
    stripes = np.repeat(np.array(colours, np.uint8)[order], 16, axis=0)
    picture = np.broadcast_to(stripes[:, None], (96, 96, 3))
    labels = gallery.colour_clusters(np.stack([picture, np.rot90(picture)]))
    expected = np.broadcast_to(np.repeat(order, 16)[:, None], (96, 96))
    np.testing.assert_array_equal(labels, [expected, np.rot90(expected)])


def test_crops_move_and_mirror_image_and_label_together() -> None:
    scenes = ramp(70, 80)
    image, condition = scenes.crops(40, generator(0, "test"))
    assert image.shape == (40, 3, 64, 64)
    assert torch.equal(condition.argmax(1).float(), image[:, 0])
    first, second = image[:, 0, 0, 0], image[:, 0, 0, 1]
    mirrored = second < first
    assert 5 < mirrored.sum() < 35
    starts = image[:, 0, 0].amin(1).unique()
    assert starts.min() == 0
    assert starts.max() == 80 - 64


def test_training_makes_regeneration_better(photographs: gallery.Scenes) -> None:
    blocks = gallery.SHOWN[1]
    losses = []
    for steps in (1, 40):
        train = TrainParams(steps=steps, batch_size=2, learning_rate=0.006)
        criterion = gallery.train_crm(photographs, blocks, train)
        made = gallery.regenerate(criterion, photographs)
        assert [len(one.regenerated) for one in made] == [1, 1]
        losses.append(
            sum(
                (one.regenerated[0] - image).square().mean().item()
                for one, image in zip(made, photographs.image, strict=True)
            )
        )
    assert losses[1] < 0.6 * losses[0]


def test_regeneration_is_told_the_condition(photographs: gallery.Scenes) -> None:
    blank = next(redaction for redaction in gallery.SHOWN if redaction.name == "blank")
    criterion = gallery.train_crm(photographs, blank, TrainParams(steps=2, batch_size=2))
    other = replace(photographs, label=photographs.label.flip(0))
    first, second = gallery.regenerate(criterion, photographs), gallery.regenerate(criterion, other)
    assert torch.equal(first[0].redacted, second[0].redacted)
    assert not torch.equal(first[0].regenerated, second[0].regenerated)


def test_sheet_enlarges_by_whole_factors_and_names_settings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(256, size=(side, side, 3), dtype=np.uint8) for side in (64, 96) * 3]
    rows = [
        QualitativeRow("original", [("a", picture) for picture in pictures]),
        QualitativeRow("low_pass(cutoff=0.06)", [("b", picture) for picture in pictures[::-1]]),
    ]
    figure = gallery.draw_sheet(rows, ["left", "right"], "note")
    texts = [text.get_text() for text in figure.texts]
    for text in ("left", "right", "original", "low_pass", "cutoff=0.06", "note"):
        assert texts.count(text) == 1
    assert texts.count("a") == texts.count("b") == 6
    save(figure, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        drawn = np.asarray(image.convert("RGB"))
    page = gallery._Page(2, 2)
    assert drawn.shape == (page.height, page.width, 3)
    for number, row in enumerate(rows):
        for column, (_, picture) in enumerate(row.panels):
            top, left = page.top(number), page.left(column)
            factor = 192 // len(picture)
            found = drawn[top : top + 192, left : left + 192]
            np.testing.assert_array_equal(found, picture.repeat(factor, 0).repeat(factor, 1))


def test_gallery_is_the_same_bytes_every_time(
    few_rooms: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    draw_sheet = gallery.draw_sheet

    def note_titles(rows: list[QualitativeRow], *rest: object) -> object:
        titles.extend(row.title for row in rows)
        return draw_sheet(rows, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(gallery, "draw_sheet", note_titles)
    steps: list[tuple[int, int]] = []
    paths = gallery.draw_gallery(
        tmp_path / "a", steps=1, progress=lambda done, total, note="": steps.append((done, total))
    )
    assert [path.name for path in paths] == ["gallery-photographs.png", "gallery-rooms.png"]
    assert titles == 2 * ["original", *map(redaction_label, gallery.SHOWN)]
    count = 2 * len(gallery.SHOWN)
    assert steps == [(done, count) for done in range(1, count + 1)]
    torch.manual_seed(1)  # draws of others must not matter
    again = gallery.draw_gallery(tmp_path / "b", steps=1)
    for first, second in zip(paths, again, strict=True):
        assert first.read_bytes() == second.read_bytes()
        assert first.stat().st_size < 1.5e6


def test_no_steps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="steps=0: must be at least 1"):
        gallery.draw_gallery(tmp_path, steps=0)


def test_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, int]] = []

    def draw(output: Path, steps: int, progress: object) -> list[Path]:
        asked.append((output, steps))
        return [output / "x.png"]

    monkeypatch.setattr(gallery, "draw_gallery", draw)
    said = CliRunner().invoke(cli.app, ["gallery", "--output", "there", "--steps", "7"])
    assert said.exit_code == 0
    assert said.stdout.strip() == "drew there/x.png"
    CliRunner().invoke(cli.app, ["gallery"])
    assert asked == [(Path("there"), 7), (Path("docs"), 500)]
    assert CliRunner().invoke(cli.app, ["gallery", "--steps", "0"]).exit_code == 2
