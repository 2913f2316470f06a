"""The gallery: every redaction, its spectrum and its regeneration, to choose a redaction by eye.

It shows two photographs from scikit-image and two procedural rooms. Each redaction has its own
regeneration module, trained for a few steps and without a network: the pictures show the effect of
a redaction and how well it can be undone, not the quality that a study would reach.
"""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import TypeAdapter
from scipy.cluster.vq import kmeans2
from skimage import data
from skimage.color import rgb2lab
from skimage.segmentation import slic
from skimage.transform import resize
from torch import Generator, Tensor

from dejavu.config import RedactionParams, TrainParams
from dejavu.data.sample import denormalise, normalise
from dejavu.datasets.rooms import render_scene
from dejavu.datasets.rooms.classes import PALETTE
from dejavu.datasets.rooms.scenes import RoomsSpec
from dejavu.evaluation.gap import redaction_label
from dejavu.evaluation.oracle import descend
from dejavu.method.loss import DejaVuLoss, Regeneration
from dejavu.method.redaction.registry import REDACTIONS, example_settings
from dejavu.reporting.figures import DPI, QualitativeRow, save
from dejavu.reporting.pictures import colour
from dejavu.reporting.style import METHODS, MUTED, styled
from dejavu.runtime.progress import Progress, silent
from dejavu.runtime.seeding import fold, generator
from dejavu.tasks.segmentation import Segmentation
from dejavu.training.criterion import build_redaction
from dejavu.training.loop import prepare_torch

Picture = NDArray[np.uint8]


def _example(name: str, **settings: Any) -> dict[str, Any]:
    return {"name": name} | example_settings(name) | settings


_LOW_PASS, _SPARSE_PIXELS = _example("low_pass"), _example("sparse_pixels")
_CHOSEN = [
    _example("checkerboard"),
    _example("random_blocks"),
    _example("random_blocks", fill="mean"),
    _example("random_blocks", fill="noise"),
    _SPARSE_PIXELS,
    _example("grid_sample"),
    _LOW_PASS,
    _example("high_pass"),
    _example("band_stop"),
    _example("block_dct"),
    _example("compose", redactions=[_LOW_PASS, _example("checkerboard")]),
    _example("random_choice", redactions=[_LOW_PASS, _SPARSE_PIXELS]),
    _example("identity"),
    _example("blank"),
]
_OTHERS = REDACTIONS.keys() - {row["name"] for row in _CHOSEN}

SHOWN: list[RedactionParams] = TypeAdapter(list[RedactionParams]).validate_python(
    [*_CHOSEN, *map(_example, sorted(_OTHERS))]
)
"""The rows of the gallery: every redaction, and every fill once, written as in a params file."""

CLUSTERS = 6
"""Number of clusters in the stand-in segmentation of the photographs."""

SPECTRUM_RANGE = (-2.0, 2.0)
"""Decades of the spectrum's magnitude from black to white, the same in all pictures."""

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601
# Number of shades: below 256 no difference is seen, and the files are a third smaller.
_SHADES, _SPECTRUM_SHADES = 48, 16
_CROP = 64  # side of the training crops and of the rooms, pixels
_TRAINING_SCENES = 96


@dataclass(frozen=True)
class Scenes:
    """Images to train regeneration on, and images to show.

    Attributes:
        names: names of the shown images.
        pool: training images, N x 3 x H x W, normalised; cropped and flipped at random.
        pool_label: labels of the training images, N x H x W, int64.
        image: shown images, B x 3 x H x W, normalised.
        label: their labels, B x H x W, int64; regeneration is conditioned on their one-hot form.
        task: the task that encodes and draws the labels.
        note: the origin of the labels, and the relation of shown to training images.
    """

    names: Sequence[str]
    pool: Tensor
    pool_label: Tensor
    image: Tensor
    label: Tensor
    task: Segmentation
    note: str

    def crops(self, count: int, draws: Generator) -> tuple[Tensor, Tensor]:
        """Draw ``count`` random crops and flips of the pool: images and one-hot conditions."""
        crops = [self._crop(draws) for _ in range(count)]
        image, label = (torch.stack(maps) for maps in zip(*crops, strict=True))
        return image, self.task.encode(label)

    def _crop(self, draws: Generator) -> tuple[Tensor, Tensor]:
        limits = len(self.pool), *(side - _CROP + 1 for side in self.pool.shape[-2:]), 2
        index, top, left, mirrored = (
            int(torch.randint(limit, (), generator=draws)) for limit in limits
        )
        window = index, ..., slice(top, top + _CROP), slice(left, left + _CROP)
        image, label = self.pool[window], self.pool_label[window]
        return (image.flip(-1), label.flip(-1)) if mirrored else (image, label)


def draw_gallery(output: Path, steps: int = 500, progress: Progress = silent) -> list[Path]:
    """Draw ``gallery-photographs.png`` and ``gallery-rooms.png``.

    Computed on one CPU thread: on one machine, the same steps give the same bytes.

    Args:
        output: output folder, created if missing.
        steps: training steps of each regeneration module, at least 1.
        progress: called after each redaction.

    Returns:
        The written files.

    Raises:
        ValueError: ``steps`` is less than 1.
    """
    if steps < 1:
        raise ValueError(f"steps={steps!r}: must be at least 1")
    train = TrainParams(steps=steps, batch_size=4, learning_rate=0.006)
    prepare_torch(train)
    sheets = {"photographs": photographs(), "rooms": rooms()}
    paths = []
    for number, (name, scenes) in enumerate(sheets.items()):
        rows = [_originals(scenes)]
        for redaction in SHOWN:
            rows.append(_row(scenes, redaction, train))
            done = number * len(SHOWN) + len(rows) - 1
            progress(done, len(sheets) * len(SHOWN), f"{name}: {redaction.name}")
        paths.append(output / f"gallery-{name}.png")
        save(draw_sheet(rows, scenes.names, _caption(scenes, steps)), paths[-1])
    return paths


def photographs() -> Scenes:
    """Load two photographs, 192 x 192, and segment them; nothing is downloaded."""
    taken = {"astronaut": data.astronaut(), "coffee": data.coffee()}
    corners = (4, 32), (20, 48)
    squares = np.stack([_square(picture, 192) for picture in taken.values()])
    pool = normalise(torch.from_numpy(squares).permute(0, 3, 1, 2))
    label = torch.from_numpy(colour_clusters(squares))
    image, shown = (
        torch.stack(
            [
                maps[index, ..., top : top + 96, left : left + 96]
                for index, (top, left) in enumerate(corners)
            ]
        )
        for maps in (pool, label)
    )
    palette = [tuple(round(255 * part) for part in to_rgb(colour)) for colour in METHODS[:CLUSTERS]]
    note = (
        f"Condition: a stand-in segmentation, {CLUSTERS} colour clusters of superpixels, one-hot. "
        "Each module was trained on random crops and flips of these same photographs"
    )
    return Scenes([*taken], pool, label, image, shown, Segmentation(palette), note)


def rooms() -> Scenes:
    """Render rooms to train on and the first two of the validation split."""
    image, label = _render("train", _TRAINING_SCENES)
    note = (
        "Condition: the ground-truth labels, one-hot. "
        f"Each module was trained on {_TRAINING_SCENES} other rooms"
    )
    shown = _render("val", 2)
    return Scenes(("room 1", "room 2"), image, label, *shown, Segmentation(PALETTE), note)


def colour_clusters(pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Label pixels by the colour of their superpixel: a stand-in for a segmentation.

    Superpixels (SLIC) of all pictures are clustered together by their mean colour in CIELAB
    (k-means), so that a label means the same in each of them. Nothing is drawn at random.

    Args:
        pictures: N x H x W x 3 uint8 RGB.

    Returns:
        N x H x W labels from 0 to ``CLUSTERS`` - 1, the darkest cluster first.
    """
    superpixels = [slic(picture, n_segments=300, start_label=0) for picture in pictures]
    counts = np.cumsum([0, *(segments.max() + 1 for segments in superpixels)])
    segments = np.stack(superpixels) + counts[:-1, None, None]
    sizes = np.bincount(segments.ravel())
    colours = np.stack(
        [
            np.bincount(segments.ravel(), channel.ravel()) / sizes
            for channel in np.moveaxis(rgb2lab(pictures), -1, 0)
        ],
        axis=1,
    )
    by_lightness = colours[colours[:, 0].argsort(kind="stable")]
    middles = (np.arange(CLUSTERS) + 0.5) / CLUSTERS
    first = by_lightness[(middles * len(colours)).astype(int)]
    centres, clusters = kmeans2(colours, first, iter=50, minit="matrix")
    rank = centres[:, 0].argsort(kind="stable").argsort()
    return np.asarray(rank[clusters][segments], dtype=np.int64)


def spectrum(image: Tensor) -> Tensor:
    """Return the magnitude of the spectrum of the luminance, in decades.

    The discrete Fourier transform is orthonormal (white noise of standard deviation 1 has the
    mean square 1 at each frequency) and centred: frequency 0, the mean, is at (H // 2, W // 2).

    Args:
        image: B x 3 x H x W, normalised RGB.

    Returns:
        B x H x W, log10 of the magnitude, float64; magnitudes are clamped to at least 1e-12.

    Example:
        >>> grey = torch.ones(1, 3, 4, 4)
        >>> spectrum(grey)[0, 2].round(decimals=2).tolist()
        [-12.0, -12.0, 0.6, -12.0]
    """
    weights = torch.tensor(_LUMINANCE, dtype=torch.float64).view(1, 3, 1, 1)
    luminance = (image.double() * weights).sum(1)
    magnitude = torch.fft.fft2(luminance, norm="ortho").abs()
    centred: Tensor = torch.fft.fftshift(magnitude, dim=(-2, -1))
    return centred.clamp(min=1e-12).log10()


def train_crm(scenes: Scenes, redaction: RedactionParams, train: TrainParams) -> DejaVuLoss:
    """Train a regeneration module of the default size; its loss covers all pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(fold(0, "gallery criterion"))
        removes = build_redaction(redaction.model_dump())
        criterion = DejaVuLoss(scenes.task.condition_channels, removes, region="all")

    def losses() -> Iterator[Tensor]:
        for step in range(train.steps):
            image, condition = scenes.crops(train.batch_size, generator(0, "gallery crops", step))
            draws = generator(0, "gallery redaction", step)
            yield criterion.loss_from_condition(image, condition, draws)

    descend(criterion, losses(), train)
    return criterion


def regenerate(criterion: DejaVuLoss, scenes: Scenes) -> list[Regeneration]:
    """Redact and regenerate each shown image, with its own random draws."""
    condition = scenes.task.encode(scenes.label)
    with torch.inference_mode():
        return [
            criterion.regenerate_from_condition(
                scenes.image[index : index + 1],
                condition[index : index + 1],
                generator(0, "gallery draws", index),
            )
            for index in range(len(scenes.image))
        ]


def draw_sheet(rows: Sequence[QualitativeRow], names: Sequence[str], note: str) -> Figure:
    """Draw rows of three pictures per image, below each other.

    Args:
        rows: the originals, then the redactions; a title is NAME or NAME(SETTINGS).
        names: names of the images.
        note: text below the pictures.
    """
    page = _Page(len(names), len(rows))
    with styled():
        for image, name in enumerate(names):
            page.write(name, page.left(3 * image), 6, fontsize=11, fontweight="bold")
        for number, row in enumerate(rows):
            name, _, settings = row.title.partition("(")
            page.write(name, page.MARGIN, page.top(number) + 2, fontweight="bold")
            settings = textwrap.fill(settings.removesuffix(")"), 25)
            page.write(settings, page.MARGIN, page.top(number) + 32, fontsize=9)
            for column, (title, picture) in enumerate(row.panels):
                page.show(picture, column, number)
                if number < 2:
                    page.write(title, page.left(column), page.top(number) - 27, fontsize=9.5)
        note = textwrap.fill(note, 152)
        page.write(note, page.MARGIN, page.top(len(rows)) + 8, fontsize=9, color=MUTED)
    return page.figure


class _Page:
    """A figure laid out in pixels of the saved file, from the top left.

    Pictures are enlarged by whole factors, so that none of their pixels is blurred or doubled.
    """

    MARGIN, LABEL, PANEL, SPACE, GUTTER, HEAD, FOOT = 16, 286, 192, 6, 22, 68, 118
    TITLES = 34  # between the originals and the redactions

    def __init__(self, images: int, rows: int) -> None:
        self.width = self.left(3 * images) - self.GUTTER + self.MARGIN
        self.height = self.top(rows) + self.FOOT
        self.figure = Figure((self.width / DPI, self.height / DPI), DPI)

    def left(self, column: int) -> int:
        gutters = column // 3 * (self.GUTTER - self.SPACE)
        return self.MARGIN + self.LABEL + column * (self.PANEL + self.SPACE) + gutters

    def top(self, row: int) -> int:
        return self.HEAD + row * (self.PANEL + self.SPACE) + min(row, 1) * self.TITLES

    def write(self, text: str, x: int, y: int, **style: object) -> None:
        self.figure.text(x / self.width, 1 - y / self.height, text, va="top", **style)  # type: ignore[arg-type]

    def show(self, picture: Picture, column: int, row: int) -> None:
        factor = self.PANEL // len(picture)
        enlarged = picture.repeat(factor, 0).repeat(factor, 1)
        bottom = self.height - self.top(row) - self.PANEL
        self.figure.figimage(enlarged, self.left(column), bottom, origin="upper")


def _originals(scenes: Scenes) -> QualitativeRow:
    panels = []
    conditions = colour(scenes.task, scenes.label).numpy()
    for index, condition in enumerate(conditions):
        image = scenes.image[index : index + 1]
        panels += [("original", _rgb(image)), ("spectrum", _draw_spectrum(image))]
        panels.append(("condition", condition))
    return QualitativeRow("original", panels)


def _row(scenes: Scenes, redaction: RedactionParams, train: TrainParams) -> QualitativeRow:
    panels = []
    for made in regenerate(train_crm(scenes, redaction, train), scenes):
        panels += [("redacted", _rgb(made.redacted)), ("spectrum", _draw_spectrum(made.redacted))]
        panels.append(("regenerated", _rgb(made.regenerated)))
    return QualitativeRow(redaction_label(redaction), panels)


def _caption(scenes: Scenes, steps: int) -> str:
    low, high = (10**decade for decade in SPECTRUM_RANGE)
    return (
        f"{scenes.note}, for {steps} steps, on the squared error of all pixels; its output is "
        "shown as it is. Spectrum: magnitude of the luminance's discrete Fourier transform, the "
        f"mean in the centre; log scale from {low:g} (black) to {high:g} (white), the same in all "
        "pictures. Random redactions: one draw per image."
    )


def _render(split: str, count: int) -> tuple[Tensor, Tensor]:
    spec = RoomsSpec(height=_CROP, width=_CROP)
    frames = [render_scene(spec, split, index) for index in range(count)]
    images = torch.from_numpy(np.stack([frame.image for frame in frames])).permute(0, 3, 1, 2)
    labels = torch.from_numpy(np.stack([frame.label for frame in frames]).astype(np.int64))
    return normalise(images), labels


def _square(picture: Picture, side: int) -> Picture:
    """Cut the largest square from the middle of an RGB picture and resize it."""
    height, width = picture.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = picture[top : top + short, left : left + short]
    resized = resize(square, (side, side), anti_aliasing=True, preserve_range=True)
    return np.asarray(resized.round(), dtype=np.uint8)


def _rgb(image: Tensor) -> Picture:
    shades = denormalise(image)[0].permute(1, 2, 0) / 255
    return (255 * _round(shades, _SHADES)).round().to(torch.uint8).numpy()


def _draw_spectrum(image: Tensor) -> Picture:
    low, high = SPECTRUM_RANGE
    shades = _round(((spectrum(image)[0] - low) / (high - low)).clamp(0, 1), _SPECTRUM_SHADES)
    return np.asarray(colormaps["magma"](shades.numpy(), bytes=True)[..., :3])


def _round(shades: Tensor, count: int) -> Tensor:
    """Quantise values in [0, 1] to ``count`` levels."""
    return (shades * (count - 1)).round() / (count - 1)
