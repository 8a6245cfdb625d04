"""Show volumes in neuroglancer, in the browser."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dacapo.arrays import Array, open_array, views
from dacapo.arrays.units import in_nm, is_pixel
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import as_labels
from dacapo.experiments.datasplits.datasets.statistics import find_range
from dacapo.inference.error_sites import read_sites
from dacapo.processes.files import write_atomically
from dacapo.runs import RunFolder

_RANGES = {"raw": (0.0, 1.0), "target": (0.0, 1.0), "prediction": (0.0, 1.0)}
_COLOURS = ("#ff5c00", "#00c2ff")
_VIEW = (
    "position", "crossSectionScale", "crossSectionOrientation", "projectionScale",
    "projectionOrientation", "layout", "showSlices", "showAxisLines", "selectedLayer",
)  # fmt: skip
_CHECKED = (
    "position", "cross_section_scale", "cross_section_orientation", "projection_scale",
    "projection_orientation", "layout", "selected_layer", "layers",
)  # fmt: skip
_SEEN = (
    "visible", "opacity", "blend", "shaderControls", "selectedAlpha", "notSelectedAlpha",
    "segments", "segmentColors", "hideSegmentZero", "objectAlpha",
)  # fmt: skip
_NOTES = ("type", "name", "visible", "annotations", "annotationColor", "annotationProperties")
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
    raw: str | None, prediction: str | None, gt: str | None, segmentation: str | None,
    voxel_size: Sequence[float] | None = None, unit: str | None = None,
) -> list[Layer]:  # fmt: skip
    """Volumes of any files; they may be larger than memory.

    Args:
        voxel_size, unit: of files that do not tell them.

    Raises:
        InputError: a file cannot be opened.
    """
    layers = []
    if raw is not None:
        array = _opened(raw, "raw", voxel_size, unit)
        low, high = (float(np.mean(level)) for level in find_range(array, "percentile"))
        layers.append(Layer("raw", array, low, high))
    if prediction is not None:
        array = _opened(prediction, "prediction", voxel_size, unit)
        shown = views.each(array, lambda values: values, np.float32)
        layers.append(Layer("prediction", shown, 0.0, 1.0))
    for name, uri in (("gt", gt), ("segmentation", segmentation)):
        if uri is not None:
            array = _opened(uri, name, voxel_size, unit)
            layers.append(Layer(name, views.each(array, as_labels, np.uint64)))
    return layers


def _opened(uri: str, key: str, voxel_size: Sequence[float] | None, unit: str | None) -> Array:
    array = open_array(uri, key=key, pixels_if_silent=True)
    if voxel_size is None or not is_pixel(array.unit):
        return array
    return open_array(uri, key=key, voxel_size=voxel_size, unit=unit)


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


def check_alike(layers: Sequence[Layer], points: Mapping[str, Sequence[Point]]) -> None:
    """Refuse volumes that cannot be shown together.

    Raises:
        InputError: their axes differ, or only some have a physical size.
    """
    first = layers[0].array
    for other in (layer.array for layer in layers[1:]):
        if other.dims != first.dims:
            raise InputError(
                f"{first.name} has {first.dims} axes and {other.name} {other.dims}: they cannot be "
                f"shown together"
            )
        if is_pixel(other.unit) != is_pixel(first.unit):
            without = first if is_pixel(first.unit) else other
            raise InputError(
                f"{without.name} does not say how large its voxels are, and the others do: set "
                f"voxel_size= and unit="
            )
    for name, own in points.items():
        if own and len(own[0].position) != first.dims:
            raise InputError(f"sites: {name} have {len(own[0].position)} axes, not {first.dims}")


@contextmanager
def show(
    layers: Sequence[Layer],
    address: str,
    port: int,
    points: Mapping[str, Sequence[Point]] | None = None,
    state_file: Path | None = None,
) -> Iterator[str]:
    """Serve layers within the context; yields the URL to open.

    Args:
        points: name of a layer -> its points.
        state_file: what is shown, to begin with if the file exists; written at the end.

    Raises:
        InputError: neuroglancer is not installed, the address cannot be used, or the file is not a
            state.
    """
    before = None if state_file is None else _read_state(state_file)
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
        if before is not None:
            _restore(neuroglancer, viewer, before, str(state_file))
        try:
            yield str(viewer)
        finally:
            if state_file is not None:
                write_atomically(state_file, json.dumps(_kept(viewer), indent=1).encode())
    finally:
        neuroglancer.server.stop()


def _kept(viewer: Any) -> dict[str, Any]:
    """The state of a viewer without where its volumes come from."""
    plain: dict[str, Any] = viewer.state.to_json()
    for layer in plain.get("layers", ()):
        if layer.get("type") != "annotation":
            layer.pop("source", None)
    return plain


def _read_state(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        plain: Any = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"state={path} cannot be read: {error}") from error
    layers = plain.get("layers", []) if isinstance(plain, dict) else None
    if not isinstance(layers, list) or not all(
        isinstance(own, dict) and isinstance(own.get("name"), str) for own in layers
    ):
        raise InputError(f"state={path} was not written by dacapo.view")
    return dict(plain)


def _restore(neuroglancer: Any, viewer: Any, before: Mapping[str, Any], source: str) -> None:
    """Show layers as they were: those that are there, and the notes of whoever looked.

    Nothing of the file names what is loaded, or is a program of the graphics card.
    """
    plain = viewer.state.to_json()
    kept = {layer["name"]: layer for layer in before.get("layers", ())}
    own = {layer["name"] for layer in plain["layers"]}
    for layer in plain["layers"]:
        seen = kept.get(layer["name"], {})
        if layer["type"] != "annotation" and seen.get("type") == layer["type"]:
            layer.update({key: seen[key] for key in _SEEN if key in seen})
    plain["layers"] += [
        _notes(layer)
        for name, layer in kept.items()
        if name not in own and layer.get("type") == "annotation"
    ]
    plain.update({key: before[key] for key in _VIEW if key in before})
    try:
        state = neuroglancer.ViewerState(plain)
        for name in _CHECKED:  # it looks at values when they are asked for
            getattr(state, name)
        viewer.set_state(state)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"state={source} is not a state of the viewer: {error}") from error


def _notes(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A layer of annotations that lie in the state itself."""
    source = layer.get("source")
    transform = source.get("transform") if isinstance(source, dict) else None
    own = {"url": "local://annotations"} | ({} if transform is None else {"transform": transform})
    return {key: layer[key] for key in _NOTES if key in layer} | {"source": own}


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
