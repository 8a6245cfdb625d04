"""Writes a trained model as a package of bioimage.io, with its network in further formats."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from dacapo import __version__
from dacapo.arrays.units import from_world, is_pixel
from dacapo.errors import InputError
from dacapo.inference.preprocessing import Steps, preprocessed, preprocessing
from dacapo.inference.trained import TrainedModel
from dacapo.nn.bioimageio import OWN_LIBRARY, read_package
from dacapo.processes.files import writing

Volume = np.ndarray[Any, np.dtype[Any]]

_MAX_DIFFERENCE = 1e-4
_UNSUPPORTED = (
    RuntimeError, ValueError, TypeError, NotImplementedError, LookupError, AssertionError,
    AttributeError,
)  # fmt: skip
"""Exceptions of torch's exporters for networks that they cannot write."""
_FORMAT = "0.5.4"


def write_package(model: TrainedModel, options: Any) -> str:
    """Write the package; an output that exists is replaced at the end.

    Args:
        model: on the CPU.
        options: see `ExportConfig`.

    Returns:
        What is in it, in words.

    Raises:
        InputError: the network cannot be written in a format, or does not compute the same in it.
    """
    output = Path(options.output)
    with (
        writing(output),
        tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder,
        model.train_state.using_ema(),
        torch.no_grad(),
    ):
        parts = _Parts(model, Path(folder))
        parts.write_weights()
        differences = {}
        if options.torch_export:
            differences["torch.export"] = parts.write_torch_export()
        if options.onnx:
            differences["ONNX"] = parts.write_onnx()
        parts.write_description(options)
        made = Path(folder) / "made.zip"
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as package:
            for path in sorted(Path(folder).iterdir()):
                if path != made:
                    package.write(path, path.name)
        try:
            read_package(made, "output")
        except InputError as error:
            raise InputError(str(error).replace(str(made), str(output))) from error
        os.replace(made, output)
    found = [f"{name} (differs by {value:.1g} at most)" for name, value in differences.items()]
    return " and ".join(["weights", *found])


class _NoAliases(yaml.SafeDumper):
    """Writes what occurs twice twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Parts:
    """Writes the files of a package into a folder."""

    def __init__(self, model: TrainedModel, folder: Path) -> None:
        self._model, self._folder = model, folder
        self._network = model.model.eval()
        self._space = "zyx"[-model.architecture.dims :]
        self._shape = tuple(model.model.input_shape)
        self._steps, self._dtype = preprocessing(
            model.saved.normalization, self._space, model.saved.dtype
        )
        self._raw = self._test_raw()
        self._seen = torch.from_numpy(preprocessed(self._steps, self._raw, self._space))
        self._weights: dict[str, dict[str, Any]] = {}
        self._attachments: list[dict[str, str]] = []

    @property
    def _is_fixed(self) -> bool:
        """Whether the network is right for inputs of one size only."""
        halo, shape = self._model.architecture.halo, self._shape
        too_small = any(2 * h >= n for h, n in zip(halo, shape, strict=True))
        return self._model.architecture.window_dependent or too_small

    @property
    def _sizes(self) -> Sequence[tuple[int, ...]]:
        """Input sizes at which formats are compared."""
        period = self._model.architecture.period
        larger = tuple(n + p for n, p in zip(self._shape, period, strict=True))
        return [self._shape] if self._is_fixed else [self._shape, larger]

    def write_weights(self) -> None:
        """The state dict, and the tensors by which every format can be tested."""
        tensors = {k: v.detach().cpu().clone() for k, v in self._network.state_dict().items()}
        with (self._folder / "weights.pt").open("wb") as file:  # so that a full disk is an OSError
            torch.save(tensors, file)
        described = self._model.saved.describe()
        self._weights["pytorch_state_dict"] = {
            **self._file("weights.pt"),
            "pytorch_version": torch.__version__.partition("+")[0],
            "architecture": {
                "import_from": OWN_LIBRARY,
                "callable": "network",
                "kwargs": {name: described[name] for name in ("task", "architecture")},
            },
        }
        np.save(self._folder / "test_input.npy", self._raw)
        np.save(self._folder / "test_output.npy", self._network(self._seen).numpy())

    def write_torch_export(self) -> float:
        """The network as torch.export writes it; returns by how much its output differs."""
        path = self._folder / "model.pt2"
        with _refusals("torch_export", "torch.export"), _quiet():
            torch.export.save(self._exported(), path)
            made = torch.export.load(path).module()
        self._attachments.append(self._file("model.pt2"))
        with _refusals("torch_export", "torch.export"):
            return self._compare("torch_export", made)

    def write_onnx(self) -> float:
        """The network in ONNX; returns by how much its output differs."""
        path = self._folder / "model.onnx"
        try:
            import onnx
            import onnxruntime
            import onnxscript  # noqa: F401  # torch needs it
        except ModuleNotFoundError as error:
            raise InputError(
                f"onnx=true needs the package {error.name}: pip install 'dacapo[bioimageio]', or "
                f"set onnx=false"
            ) from error
        with _refusals("onnx", "ONNX"), _quiet():
            torch.onnx.export(
                self._exported(), (), str(path), dynamo=True, external_data=False, verbose=False,
                input_names=["raw"], output_names=["prediction"],
            )  # fmt: skip
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            version = onnx.load(path).opset_import[0].version
        self._weights["onnx"] = {
            **self._file("model.onnx"), "opset_version": version, "parent": "pytorch_state_dict",
        }  # fmt: skip
        with _refusals("onnx", "ONNX"):
            return self._compare(
                "onnx", lambda x: torch.from_numpy(session.run(None, {"raw": x.numpy()})[0])
            )

    def _exported(self) -> torch.export.ExportedProgram:
        if not hasattr(torch.export.Dim, "AUTO"):
            raise InputError(
                f"torch_export and onnx need torch 2.6 or newer, and this is {torch.__version__}: "
                f"set both to false"
            )
        free = {} if self._is_fixed else dict.fromkeys(
            range(2, 2 + len(self._shape)), torch.export.Dim.AUTO
        )  # fmt: skip
        example = self._seen.expand(2, *self._seen.shape[1:]).contiguous()
        shapes = ({0: torch.export.Dim.AUTO, **free},)
        return torch.export.export(self._network, (example,), dynamic_shapes=shapes)

    def _compare(self, key: str, made: Callable[[torch.Tensor], torch.Tensor]) -> float:
        """The largest difference between outputs of a format and of the network."""
        channels, largest = self._seen.shape[1], 0.0
        for shape in self._sizes:
            x = torch.rand(1, channels, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
            difference = (made(x) - self._network(x)).abs().max()
            largest = max(largest, float(difference))
        if not largest <= _MAX_DIFFERENCE:
            raise InputError(
                f"{key}=true: the network computes something else there, by up to {largest:.2g}: "
                f"set {key}=false to leave it out"
            )
        return largest

    def write_description(self, options: Any) -> None:
        """rdf.yaml and README.md."""
        model = self._model
        saved = replace(model.saved, parameters=model.parameters)
        kinds = ", ".join(model.channel_names)
        title = options.name or f"DaCapo {saved.label.replace('/', ' ')}"
        (self._folder / "README.md").write_text(_readme(model, title))
        about = {
            "name": title,
            "description": options.description or f"Predicts {kinds}"[:1000],
            "authors": [{"name": name} for name in options.authors],
            "license": options.license,
            "tags": ["dacapo", "segmentation", f"{len(self._shape)}d"],
        }
        description = {
            "format_version": _FORMAT,
            "type": "model",
            **{key: value for key, value in about.items() if value},
            "documentation": "README.md",
            "covers": self._covers(),
            "inputs": [self._input()],
            "outputs": [self._output()],
            "weights": self._weights,
            "attachments": self._attachments,
            "config": {
                "dacapo": {
                    "version": __version__,
                    "channels": list(model.channel_names),
                    **saved.describe(),
                }
            },
        }
        text = yaml.dump(description, Dumper=_NoAliases, sort_keys=False, allow_unicode=True)
        (self._folder / "rdf.yaml").write_text(text)

    def _covers(self) -> list[str]:
        """The picture of the run's best segmentation, where there is one."""
        folder = self._model.saved.folder
        if folder is None or not (folder / "picture.png").is_file():
            return []
        shutil.copyfile(folder / "picture.png", self._folder / "picture.png")
        return ["picture.png"]

    def _input(self) -> dict[str, Any]:
        num_channels = self._raw.shape[1]
        names = ["raw"] if num_channels == 1 else [f"raw_{n}" for n in range(num_channels)]
        period = self._model.architecture.period
        sizes: list[Any] = list(self._shape)
        if not self._is_fixed:
            sizes = [{"min": n, "step": p} for n, p in zip(self._shape, period, strict=True)]
        return {
            "id": "raw",
            "axes": self._axes(names, sizes, self._model.sample_shape.input_voxel_size),
            "test_tensor": self._file("test_input.npy"),
            "data": {"type": self._dtype},
            "preprocessing": self._steps,
        }

    def _output(self) -> dict[str, Any]:
        shape, architecture = self._model.sample_shape, self._model.architecture
        read, made = shape.input_voxel_size, shape.output_voxel_size
        sizes: list[dict[str, Any]] = []
        for axis, n, m, r, v in zip(
            self._space, self._shape, self._model.model.output_shape, read, made, strict=True
        ):
            offset = int(m) - int(n) * int(r) // int(v)
            sizes.append({"tensor_id": "raw", "axis_id": axis, "offset": offset})
        axes: list[Any] = self._axes(_identifiers(self._model.channel_names), sizes, made)
        for axis, halo in zip(axes[2:], architecture.halo * read / made, strict=True):
            if halo and not self._is_fixed:
                axis["halo"] = int(halo)
        data: dict[str, Any] = {"type": "float32"}
        bounds = self._model.task.predictor.output_array_type.bounds
        if bounds is not None:
            data["range"] = list(bounds)
        return {
            "id": "prediction",
            "axes": axes,
            "test_tensor": self._file("test_output.npy"),
            "data": data,
        }

    def _axes(self, names: Sequence[str], sizes: Sequence[Any], voxel_size: Any) -> Steps:
        is_physical = not is_pixel(self._model.saved.unit)
        scale = from_world(voxel_size, "nm" if is_physical else self._model.saved.unit)
        unit = {"unit": "nanometer"} if is_physical else {}
        space = [
            {"type": "space", "id": axis, "size": size, "scale": float(step), **unit}
            for axis, size, step in zip(self._space, sizes, scale, strict=True)
        ]
        return [{"type": "batch"}, {"type": "channel", "channel_names": list(names)}, *space]

    def _test_raw(self) -> Volume:
        """Noise in the range of the training data: (1, C, *spatial)."""
        shape = (1, self._model.model.num_in_channels, *self._shape)
        noise = np.random.default_rng(0).random(shape)
        low, high = (np.asarray(v) for v in self._model.saved.normalization.fixed or (0.0, 1.0))
        each = (1, -1, *(1,) * len(self._shape)) if low.ndim else ()
        values = low.reshape(each) + noise * (high - low).reshape(each)
        rounded = np.rint(values) if self._dtype == "uint8" else values
        return np.asarray(rounded, self._dtype)

    def _file(self, name: str) -> dict[str, str]:
        digest = hashlib.sha256((self._folder / name).read_bytes()).hexdigest()
        return {"source": name, "sha256": digest}


def _identifiers(names: Sequence[str]) -> list[str]:
    """Names as bioimage.io allows them.

    >>> _identifiers(["affinity 1,0,-3", "lsd 0"])
    ['affinity_1_0_minus_3', 'lsd_0']
    """
    return [re.sub(r"\W+", "_", name.replace("-", "minus ")) for name in names]


def _readme(model: TrainedModel, title: str) -> str:
    saved = model.saved
    axes = ", ".join("zyx"[-len(saved.input_voxel_size) :])
    size = ", ".join(f"{v:g}" for v in saved.input_voxel_size)
    chosen = model.parameters or {}
    facts = [
        f"It reads volumes with voxels of {size} {saved.unit} ({axes}), and predicts "
        f"{model.model.num_out_channels} channels: {', '.join(model.channel_names)}.",
        f"Trained for {saved.iteration} iterations with DaCapo {__version__}: run {saved.label}.",
    ]
    if chosen:
        settings = ", ".join(f"{name}={value}" for name, value in chosen.items())
        facts.append(f"Parameters of the segmentation: {settings}.")
    facts.append("## Validation")
    facts.append(
        f"The score on the validation volumes: {saved.score}. It chose the iteration and the "
        f"parameters, so it is optimistic."
        if saved.score
        else "This iteration was not validated."
    )
    shape = ",".join(map(str, model.model.input_shape))
    usage = (
        "```bash\n"
        "python -m dacapo.segment run=model.zip input=vol.h5:raw output=segmentation.ome.zarr\n"
        "python -m dacapo.train architecture=bioimageio architecture.path=model.zip \\\n"
        f"    'architecture.input_shape=[{shape}]' start=bioimageio start.path=model.zip\n"
        "```"
    )
    return "\n\n".join([f"# {title}", *facts, "## Use", usage]) + "\n"


def _unsupported() -> tuple[type[Exception], ...]:
    """Exceptions for networks that cannot be written or run in a format."""
    # Those of onnxruntime share no base of their own.
    state = sys.modules.get("onnxruntime.capi.onnxruntime_pybind11_state")
    found = [] if state is None else list(vars(state).values())
    return (*_UNSUPPORTED, *(e for e in found if isinstance(e, type) and issubclass(e, Exception)))


@contextmanager
def _refusals(key: str, name: str) -> Iterator[None]:
    """Turn what a library says of a network that it cannot write into one error."""
    try:
        yield
    except InputError:
        raise
    except _unsupported() as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{key}=true: the network cannot be written as {name}: {reason}\n  set {key}=false to "
            f"leave it out"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks of torch's exporters, which concern their authors."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
