"""Procedural rooms: labelled 3-D scenes rendered by ray casting, with NumPy alone.

Image, label, depth and normals come from the same hit of the same ray through a pixel's centre.
All arithmetic is float64 and elementwise. A scene's bytes depend on (spec, split, index)
alone: scenes are rendered one by one, independently of each other.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dejavu.datasets.reading.conventions import ROLES
from dejavu.datasets.reading.manifest import (
    MANIFEST,
    VERSION,
    Manifest,
    SplitRecord,
    file_sha256,
    record_dtype,
)
from dejavu.datasets.rooms.captions import describe
from dejavu.datasets.rooms.classes import CLASSES, PALETTE
from dejavu.datasets.rooms.raycast import Array, dot, length
from dejavu.datasets.rooms.scenes import (
    FIELD_OF_VIEW,
    SPLITS,
    RoomsSpec,
    intrinsics,
    sample_scene,
    streams,
)
from dejavu.datasets.rooms.shading import develop, shade
from dejavu.datasets.rooms.tracing import Hits, Tracer, albedo, labels
from dejavu.runtime.errors import DataError
from dejavu.runtime.files import whole_file
from dejavu.runtime.progress import Progress, silent


@dataclass(frozen=True)
class Frame:
    """A rendered scene.

    Attributes:
        image: H x W x 3 uint8 RGB.
        label: H x W uint8 indices into ``CLASSES``.
        depth: H x W float32, metres along the optical axis (z).
        normals: H x W x 3 float32 unit vectors in the camera frame (x right, y down, z
            forward), pointing towards the camera.
        caption: description of the visible objects, ASCII.
        intrinsics: fx, fy, cx and cy in pixels; the top left pixel's centre is at (0.5, 0.5).
    """

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]
    depth: NDArray[np.float32]
    normals: NDArray[np.float32]
    caption: str
    intrinsics: tuple[float, float, float, float]


def render_scene(spec: RoomsSpec, split: str, index: int) -> Frame:
    """Render scene ``index`` of a split.

    Example:
        >>> frame = render_scene(RoomsSpec(height=8, width=12), "val", 3)
        >>> frame.image.shape, bool((frame.depth > 0).all())
        ((8, 12, 3), True)
    """
    scene = sample_scene(spec, split, index)
    size = spec.height, spec.width
    parameters = intrinsics(scene.camera.field_of_view, *size)
    rays = _pixel_rays(size, parameters)
    direction = _turn(scene.camera.rotation, rays)
    tracer = Tracer(scene)
    hits = tracer.trace(scene.camera.position[:, None], direction)
    colour, gloss, glow = albedo(scene, hits, _pixel_size(hits, direction, parameters[0]))
    radiance = shade(tracer, hits, direction, colour, gloss, glow, size)
    vignette = 1 - 0.12 * (rays[0] ** 2 + rays[1] ** 2)
    shown = develop(radiance * vignette, scene.exposure)
    _, _, sensor = streams(spec, split, index)
    shown += spec.noise * sensor.standard_normal(shown.shape)
    normals = _turn(scene.camera.rotation.T, hits.normal)
    return Frame(
        image=_as_image(np.rint(255 * np.clip(shown, 0, 1)), size).astype(np.uint8),
        label=labels(scene, hits).reshape(size),
        depth=hits.depth.reshape(size).astype(np.float32),
        normals=_as_image(normals, size).astype(np.float32),
        caption=describe(scene, hits, colour),
        intrinsics=parameters,
    )


def _pixel_rays(size: tuple[int, int], parameters: tuple[float, float, float, float]) -> Array:
    """Return rays through the pixels' centres, 3 x N, in the camera frame with z = 1.

    With z = 1 the ray parameter of a hit is its depth.
    """
    height, width = size
    fx, fy, cx, cy = parameters
    rows, columns = np.divmod(np.arange(height * width), width)
    x, y = (columns + 0.5 - cx) / fx, (rows + 0.5 - cy) / fy
    return np.stack([x, y, np.ones_like(x)])


def _turn(rotation: Array, vectors: Array) -> Array:
    """Rotate 3 x N vectors, summed in a fixed order (matrix products round as they like)."""
    return np.stack([r[0] * vectors[0] + r[1] * vectors[1] + r[2] * vectors[2] for r in rotation])


def _pixel_size(hits: Hits, direction: Array, focal: float) -> Array:
    """Return the approximate size in metres of each pixel on its surface."""
    lengths = length(direction)
    cosine = -dot(hits.normal, direction) / lengths
    # The root is a compromise: blurring by the long side alone would wash out floors.
    return np.asarray(hits.depth * lengths / focal / np.sqrt(np.maximum(cosine, 0.05)))


def _as_image(values: Array, size: tuple[int, int]) -> Array:
    return np.ascontiguousarray(values.reshape(3, *size).transpose(1, 2, 0))


def prepare_rooms(
    spec: RoomsSpec, counts: Mapping[str, int], directory: Path, progress: Progress = silent
) -> None:
    """Render splits into ``directory``: one ``SPLIT.npy`` each and ``manifest.json``.

    Files are written under a temporary name and renamed. The old manifest is deleted first and the
    new one written last, so that an interrupted preparation is not taken for a finished one. The
    same arguments give the same bytes.

    Args:
        spec: settings of all scenes.
        counts: number of scenes by split; splits are among ``SPLITS``.
        directory: output folder; created if missing.
        progress: called after each scene.

    Raises:
        DataError: a split is unknown or would be empty.
    """
    for split, count in counts.items():
        if split not in SPLITS or count < 1:
            raise DataError(
                f"counts: {split!r}: {count} is invalid; splits are {', '.join(SPLITS)}, "
                "with at least one scene each"
            )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MANIFEST).unlink(missing_ok=True)
    records = {
        split: _prepare_split(spec, split, count, directory, progress)
        for split, count in counts.items()
    }
    camera = intrinsics(FIELD_OF_VIEW, spec.height, spec.width)
    Manifest(
        name="rooms",
        version=VERSION,
        height=spec.height,
        width=spec.width,
        spec=asdict(spec),
        class_names=CLASSES,
        palette=PALETTE,
        intrinsics=None if spec.varied_intrinsics else camera,
        truth=dict.fromkeys(ROLES, "exact, from the renderer"),
        files={},
        notes=(),
        splits=records,
    ).write(directory)


def _prepare_split(
    spec: RoomsSpec, split: str, count: int, directory: Path, progress: Progress
) -> SplitRecord:
    path = directory / f"{split}.npy"
    dtype = record_dtype(spec.height, spec.width)
    class_pixels = np.zeros(len(CLASSES), np.int64)
    # Written scene by scene: with a memory map, a full disk would kill the process silently.
    with whole_file(path) as temporary:
        with temporary.open("wb") as file:
            header = {"descr": dtype.descr, "fortran_order": False, "shape": (count,)}
            np.lib.format.write_array_header_1_0(file, header)
            for index in range(count):
                frame = render_scene(spec, split, index)
                scene = np.zeros((), dtype)
                for name in ("image", "label", "depth", "normals"):
                    scene[name] = getattr(frame, name)
                scene["caption"] = frame.caption.encode("ascii")
                file.write(scene.tobytes())
                class_pixels += np.bincount(frame.label.ravel(), minlength=len(CLASSES))
                progress(index + 1, count, split)
        checksum = file_sha256(temporary)
    fingerprints = dict.fromkeys(ROLES, checksum)
    return SplitRecord(count, path.name, checksum, tuple(class_pixels.tolist()), fingerprints)
