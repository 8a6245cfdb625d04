"""Show volumes in neuroglancer, in the browser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dacapo.arrays import Array, open_array, views
from dacapo.arrays.units import in_nm
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import as_labels
from dacapo.experiments.datasplits.datasets.statistics import find_range
from dacapo.inference.error_sites import read_sites
from dacapo.runs import RunFolder

_RANGES = {"raw": (0.0, 1.0), "target": (0.0, 1.0), "prediction": (0.0, 1.0)}
_COLOURS = ("#ff5c00", "#00c2ff")
_SHADER = "#uicontrol invlerp normalized\nvoid main() { emitGrayscale(normalized()); }"


@dataclass(frozen=True)
class Layer:
    """A volume to show.

    Attributes:
        low, high: the values that are shown as black and white; None: ids, shown in colours.
    """

    name: str
    array: Array
    low: float | None = None
    high: float | None = None


def file_layers(
    raw: str | None, prediction: str | None, gt: str | None, segmentation: str | None
) -> list[Layer]:
    """Volumes of any files; they may be larger than memory.

    Raises:
        InputError: a file cannot be opened.
    """
    layers = []
    if raw is not None:
        array = open_array(raw, key="raw", pixels_if_silent=True)
        low, high = (float(np.mean(level)) for level in find_range(array, "percentile"))
        layers.append(Layer("raw", array, low, high))
    if prediction is not None:
        array = open_array(prediction, key="prediction", pixels_if_silent=True)
        shown = views.each(array, lambda values: values, np.float32)
        layers.append(Layer("prediction", shown, 0.0, 1.0))
    for name, uri in (("gt", gt), ("segmentation", segmentation)):
        if uri is not None:
            array = open_array(uri, key=name, pixels_if_silent=True)
            layers.append(Layer(name, views.each(array, as_labels, np.uint64)))
    return layers


def snapshot_layers(folder: RunFolder, iteration: int | None) -> list[Layer]:
    """Raw, target, weight and prediction of a snapshot.

    Raises:
        InputError: there is no such snapshot.
    """
    found = folder.snapshots()
    if not found:
        raise InputError(
            f"run: {folder.path} has no snapshot; trainer.snapshot_interval=100 keeps one every "
            f"100 iterations"
        )
    at = found[-1] if iteration is None else iteration
    if at not in found:
        raise InputError(
            f"iteration={at}: {folder.path} has snapshots of {', '.join(map(str, found))}"
        )
    layers = []
    for name in ("raw", "target", "weight", "prediction"):
        array = open_array(str(folder.snapshot(at) / f"{name}.ome.zarr"))
        low, high = _RANGES.get(name, (0.0, float(np.max(array.read(array.roi)))))
        layers.append(Layer(name, array, low, high))
    return layers


@dataclass(frozen=True)
class Point:
    """A place to jump to.

    Attributes:
        position: in nm, or in pixels for data without a physical size.
    """

    position: Sequence[float]
    text: str


def site_points(path: str) -> dict[str, list[Point]]:
    """Splits and merges of a table by kind, the largest first.

    Raises:
        InputError: it is not such a table.
    """
    found: dict[str, list[Point]] = {}
    for site in read_sites(Path(path), "sites"):
        inside, parts = ("object", "segments") if site.kind == "split" else ("segment", "objects")
        text = f"{site.voxels} voxels: {inside} {site.inside}, {parts} {site.first}, {site.second}"
        found.setdefault(f"{site.kind}s", []).append(Point(in_nm(site.position), text))
    return found


@contextmanager
def show(
    layers: Sequence[Layer],
    address: str,
    port: int,
    points: Mapping[str, Sequence[Point]] | None = None,
) -> Iterator[str]:
    """Serve layers within the context; yields the URL to open.

    Args:
        points: name of a layer -> its points.

    Raises:
        InputError: neuroglancer is not installed, or the address cannot be used.
    """
    try:
        import neuroglancer
    except ModuleNotFoundError as error:
        raise InputError(
            "neuroglancer is not installed; pip install 'dacapo[neuroglancer]'"
        ) from error
    neuroglancer.set_server_bind_address(address, port)
    try:
        viewer = neuroglancer.Viewer()
    except OSError as error:
        raise InputError(f"address={address} port={port}: {error}") from error
    try:
        with viewer.txn() as state:
            for layer in layers:
                state.layers[layer.name] = _shown(neuroglancer, layer)
            space = _space(neuroglancer, layers[0].array)
            for (name, own), colour in zip((points or {}).items(), _COLOURS, strict=False):
                state.layers[name] = _annotations(neuroglancer, space, own, colour)
            state.dimensions = space
            state.position = _where_to_begin(space, layers[0].array, points or {})
            state.layout = "4panel"
        yield str(viewer)
    finally:
        neuroglancer.server.stop()


def _space(neuroglancer: Any, array: Array) -> Any:
    """The spatial axes of a volume."""
    names = [name.lstrip("-") for name in array.axis_names]
    return neuroglancer.CoordinateSpace(names=names, units="nm", scales=in_nm(array.voxel_size))


def _where_to_begin(space: Any, array: Array, points: Mapping[str, Sequence[Point]]) -> list[float]:
    """The first of the points, or the middle of the volume, in voxels."""
    first = next((own[0].position for own in points.values() if own), None)
    centre = (array.roi.begin + array.roi.end) / 2
    return _in_voxels(first or in_nm(centre), space)


def _in_voxels(position: Sequence[float], space: Any) -> list[float]:
    size = [scale * 1e9 for scale in space.scales]  # neuroglancer keeps metres
    return [p / s for p, s in zip(position, size, strict=True)]


def _annotations(neuroglancer: Any, space: Any, points: Sequence[Point], colour: str) -> Any:
    """A layer of points."""
    return neuroglancer.LocalAnnotationLayer(
        dimensions=space,
        annotation_color=colour,
        annotations=[
            neuroglancer.PointAnnotation(
                id=str(number), point=_in_voxels(point.position, space), description=point.text
            )
            for number, point in enumerate(points)
        ],
    )


def _shown(neuroglancer: Any, layer: Layer) -> Any:
    volume = local_volume(neuroglancer, layer)
    if layer.low is None:
        return neuroglancer.SegmentationLayer(source=volume)
    return neuroglancer.ImageLayer(
        source=volume,
        shader=_SHADER,
        shader_controls={"normalized": {"range": [layer.low, layer.high]}},
    )


def local_volume(neuroglancer: Any, layer: Layer) -> Any:
    """The volume that neuroglancer reads from, where it is looked at."""
    array = layer.array
    channels = ["c^"] * len(array.channel_shape)
    names = [name.lstrip("-") for name in array.axis_names]
    space = neuroglancer.CoordinateSpace(
        names=[*channels, *names],
        units=[*[""] * len(channels), *["nm"] * array.dims],
        scales=[*[1] * len(channels), *in_nm(array.voxel_size)],
    )
    offset = [round(o / v) for o, v in zip(array.offset, array.voxel_size, strict=True)]
    return neuroglancer.LocalVolume(
        array.source,
        dimensions=space,
        voxel_offset=[*[0] * len(channels), *offset],
        volume_type="segmentation" if layer.low is None else "image",
    )
