"""Packages of bioimage.io as architecture and as start."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from dacapo.errors import InputError
from dacapo.experiments.architectures import network
from dacapo.experiments.architectures.bioimageio import BioimageioConfig
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.nn.bioimageio import read_package
from tests.conftest import SMALL_AFFINITIES, composed

SMALL = [*SMALL_AFFINITIES[:3], *SMALL_AFFINITIES[7:]]


@network
class Smooth(nn.Module):
    """Two convolutions that keep the shape."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(1, width, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


AXES = [
    {"type": "batch"},
    {"type": "channel", "channel_names": ["raw"]},
    *(
        {"type": "space", "id": a, "size": {"min": 8, "step": 4}, "unit": "nanometer"}
        for a in "zyx"
    ),
]


_SAME_SIZE = [
    *AXES[:2],
    *(
        {
            "type": "space", "id": a, "size": {"tensor_id": "raw", "axis_id": a},
            "unit": "nanometer",
        }
        for a in "zyx"
    ),
]  # fmt: skip
_PARTICULARS = {
    "type": "model", "name": "smooth", "description": "Two convolutions.", "license": "MIT",
    "authors": [{"name": "Somebody"}], "cite": [{"text": "A paper", "doi": "10.5281/zenodo.1"}],
    "documentation": "README.md", "timestamp": "2026-01-01T00:00:00",
}  # fmt: skip


def write_package(folder: Path, version: str = "0.5.4", **changed: Any) -> Path:
    """A valid package of the network above with weights of 0.5; `changed` of its weights."""
    folder.mkdir()
    values = {k: torch.full_like(v, 0.5) for k, v in Smooth(4).state_dict().items()}
    torch.save(values, folder / "weights.pt")
    (folder / "smooth.py").write_text("raise AssertionError('code of a package was run')\n")
    for name in ("in.npy", "out.npy", "README.md"):
        (folder / name).touch()
    digest = hashlib.sha256((folder / "weights.pt").read_bytes()).hexdigest()
    weights: dict[str, Any] = {"source": "weights.pt", "sha256": digest}
    more: dict[str, Any] = {}
    if version.startswith("0.5"):
        arguments = {"width": 4}
        weights["architecture"] = {"callable": "Smooth", "source": "smooth.py", "kwargs": arguments}
        weights["pytorch_version"] = "2.4"
        steps = [{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["z", "y", "x"]}}]
        inputs = {"id": "raw", "axes": AXES, "preprocessing": steps}
        outputs: dict[str, Any] = {"id": "maps", "axes": _SAME_SIZE}
        inputs["test_tensor"], outputs["test_tensor"] = {"source": "in.npy"}, {"source": "out.npy"}
    else:
        weights |= {"architecture": "smooth.py:Smooth", "kwargs": {"width": 4}}
        weights["architecture_sha256"] = "0" * 64
        shape: dict[str, Any] = {"min": [1, 1, 8, 8, 8], "step": [0, 0, 4, 4, 4]}
        steps = [{"name": "scale_range", "kwargs": {"mode": "per_sample", "axes": "zyx"}}]
        both = {"axes": "bczyx", "data_type": "float32"}
        inputs = {"name": "raw", "shape": shape, "preprocessing": steps, **both}
        shape = {"reference_tensor": "raw", "scale": [1] * 5, "offset": [0] * 5}
        outputs = {"name": "maps", "shape": shape, **both}
        more = {"test_inputs": ["in.npy"], "test_outputs": ["out.npy"]}
    weights |= changed
    described = {
        **_PARTICULARS, **more, "format_version": version, "inputs": [inputs],
        "outputs": [outputs], "weights": {"pytorch_state_dict": weights},
    }  # fmt: skip
    (folder / "rdf.yaml").write_text(yaml.safe_dump(described))
    return folder


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as package:
        for file in folder.iterdir():
            package.write(file, file.name)
    return path


@pytest.mark.parametrize("version", ["0.5.4", "0.4.10"])
@pytest.mark.parametrize("kind", ["folder", "zip", "yaml"])
def test_a_run_begins_with_network_and_weights(tmp_path: Path, version: str, kind: str) -> None:
    path = write_package(tmp_path / "model", version)
    path = {"folder": path, "zip": zipped(path), "yaml": path / "rdf.yaml"}[kind]
    run = Run(
        RunConfig.from_hydra(
            composed(
                *SMALL, "architecture=bioimageio", f"architecture.path={path}",
                "architecture.input_shape=[16,16,16]", "start=bioimageio", f"start.path={path}",
            )
        )
    )  # fmt: skip
    assert run.architecture.num_out_channels == 4
    message = run.begin(lambda _: pytest.fail("no other run is read"))  # type: ignore[arg-type]
    assert "loaded 2 of 4 weights" in message
    assert "trained on raw after " in message
    body = run.model.state_dict()["architecture.network.layers.0.weight"]
    assert (body == 0.5).all()
    assert run.train_step(next(run.batches(0))).loss > 0


def test_sizes_that_fit(tmp_path: Path) -> None:
    package = read_package(write_package(tmp_path / "model"), "architecture.path")
    assert (package.minimum, package.step) == ((8, 8, 8), (4, 4, 4))
    assert package.network == "Smooth"


@pytest.mark.parametrize(
    ("changed", "more", "message"),
    [
        ({"sha256": "0" * 64}, {}, r"weights.pt does not match its sha256"),
        ({"source": "../weights.pt"}, {}, "is not in the package"),
        ({"source": "https://x.org/weights.pt"}, {}, "download all of its files"),
        ({"architecture": {"callable": "Nobody", "source": "smooth.py"}}, {},
         "its network is Nobody of its own source file, which is neither"),
        ({"architecture": {"callable": "system", "import_from": "os"}}, {},
         "its network is system of os, which is neither .* and code of packages is never run"),
        ({}, {"input_shape": [18, 16, 16]}, r"takes sizes of \[8, 8, 8\] and multiples of \[4,"),
        ({}, {"input_shape": [16, 16]}, "has 3 spatial axes"),
        ({}, {"fmaps_in": 2}, "takes 1 channels"),
    ],
)  # fmt: skip
def test_mistakes(
    tmp_path: Path, changed: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    path = write_package(tmp_path / "model", **changed)
    config = BioimageioConfig(path=str(path), **{"input_shape": [16, 16, 16], **more})

    def used() -> None:
        config.build()
        read_package(path, "start.path").read_weights("start.path")

    with pytest.raises(InputError, match=message):
        used()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not a package of bioimage.io: while parsing a flow node"),
        ("{type: model, format_version: 0.5.4, inputs: []}", r"is not valid \(\d+ errors\): "),
        ("[1, 2]", "is not a package of bioimage.io|is not valid"),
    ],
)
def test_descriptions_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rdf.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_package(tmp_path / "rdf.yaml", "start.path")


def test_packages_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        read_package(tmp_path / "nothing.zip", "start.path")
    with pytest.raises(InputError, match=r"is not a package of bioimage\.io"):
        read_package(tmp_path, "start.path")
    (tmp_path / "a.zip").write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"is not a package of bioimage\.io"):
        read_package(tmp_path / "a.zip", "start.path")


def test_other_weights_alone_are_not_enough(tmp_path: Path) -> None:
    path = write_package(tmp_path / "model")
    described = yaml.safe_load((path / "rdf.yaml").read_text())
    source = {"source": "weights.pt", "pytorch_version": "2.4"}
    described["weights"] = {"torchscript": source}
    (path / "rdf.yaml").write_text(yaml.safe_dump(described))
    with pytest.raises(InputError, match="it has weights of torchscript and 1 inputs"):
        read_package(path, "start.path")


def test_a_zip_that_grows_without_end_is_not_unpacked(tmp_path: Path) -> None:
    path = zipped(write_package(tmp_path / "a"))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as package:
        package.writestr("weights2.pt", bytes(300 * 2**20))
    with pytest.raises(InputError, match=r"would become \d+ when unpacked, which is not a model"):
        read_package(path, "start.path")


@pytest.mark.parametrize("kind", ["folder", "zip", "yaml"])
def test_a_description_that_grows_without_end_is_not_read(tmp_path: Path, kind: str) -> None:
    path = write_package(tmp_path / "a")
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 12)]
    text = "\n".join(["l0: &l0 [x]", *levels, (path / "rdf.yaml").read_text()])
    (path / "rdf.yaml").write_text(text)
    given = {"folder": path, "zip": zipped(path), "yaml": path / "rdf.yaml"}[kind]
    with pytest.raises(InputError, match=r"its aliases \(\*name\) make it huge"):
        read_package(given, "start.path")
    (path / "rdf.yaml").write_text("a: " + "x" * 2**21)
    given = {"folder": path, "zip": zipped(path), "yaml": path / "rdf.yaml"}[kind]
    with pytest.raises(InputError, match=r"rdf.yaml is larger than"):
        read_package(given, "start.path")
