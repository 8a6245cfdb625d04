"""`python -m dacapo.export`: a model as a package of bioimage.io, used here again."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from funlib.geometry import Coordinate

from dacapo.arrays import Array, open_array
from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.export import ExportConfig, export_command, network
from dacapo.inference.preprocessing import preprocessed, preprocessing
from dacapo.inference.saved import Normalization
from dacapo.predict import PredictConfig, predict_command
from dacapo.segment import SegmentConfig, segment_command
from dacapo.train import train
from tests.conftest import SMALL_AFFINITIES, composed, small_task_config, write_hdf5

KINDS = {
    "valid": ("affinities",),
    "same": ("affinities", "architecture.padding=same", "architecture.input_shape=[32,32,32]"),
    "windows": ("distance", "architecture.norm=group", "architecture.num_fmaps=8"),
    "averaged": ("one_hot", "trainer.ema_decay=0.9"),
}


needs_dynamic_shapes = pytest.mark.skipif(
    not hasattr(torch.export.Dim, "AUTO"), reason="needs torch 2.6 or newer"
)


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs")
    for name, (task, *overrides) in KINDS.items():
        train(small_task_config(task, f"name={name}", *overrides), path)
    return path


@pytest.fixture
def options(runs_dir: Path, tmp_path: Path) -> ExportConfig:
    return ExportConfig(run="valid/0", runs_dir=str(runs_dir), output=str(tmp_path / "model.zip"))


def unpacked(options: ExportConfig) -> tuple[dict[str, Any], zipfile.ZipFile]:
    package = zipfile.ZipFile(options.output)
    return yaml.safe_load(package.read("rdf.yaml")), package


@pytest.fixture
def volume(tmp_path: Path) -> str:
    raw = np.random.default_rng(0).integers(0, 255, (24, 28, 32)).astype(np.uint8)
    return write_hdf5(tmp_path / "a.h5", {"raw": raw}, voxel_size=[8, 8, 8], units="nm")


@needs_dynamic_shapes
@pytest.mark.parametrize("name", KINDS)
def test_the_package_is_valid_and_computes_what_the_run_does(
    options: ExportConfig, name: str
) -> None:
    from bioimageio.spec import InvalidDescr, load_description

    options = replace(
        options, run=f"{name}/0", authors=["Ada Lovelace"], license="CC-BY-4.0",
        description="Finds cells.",
    )  # fmt: skip
    export_command(options)
    described = load_description(options.output)
    assert not isinstance(described, InvalidDescr), described.validation_summary
    plain, package = unpacked(options)
    assert (
        package.read("picture.png")
        == (Path(options.runs_dir) / name / "0" / "picture.png").read_bytes()
    )
    assert plain["authors"] == [{"name": "Ada Lovelace"}]
    raw, expected = (
        np.load(io.BytesIO(package.read(f"test_{kind}.npy"))) for kind in ("input", "output")
    )
    assert raw.dtype == np.uint8
    assert np.ptp(raw) > 200
    (_, scale, _) = plain["inputs"][0]["preprocessing"]
    seen = raw * scale["kwargs"]["gain"] + scale["kwargs"]["offset"]
    assert seen.min() >= -1 - 1e-6
    assert seen.max() <= 1 + 1e-6
    x = torch.from_numpy(seen.astype(np.float32))

    weights = plain["weights"]["pytorch_state_dict"]
    model = network(**weights["architecture"]["kwargs"])
    model.load_state_dict(torch.load(io.BytesIO(package.read("weights.pt")), weights_only=True))
    with torch.no_grad():
        assert np.abs(model.eval()(x).numpy() - expected).max() < 1e-6
    made = torch.export.load(io.BytesIO(package.read("model.pt2"))).module()
    assert np.abs(made(x).detach().numpy() - expected).max() < 1e-5
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    session = onnxruntime.InferenceSession(package.read("model.onnx"))
    assert np.abs(session.run(None, {"raw": x.numpy()})[0] - expected).max() < 1e-5


@needs_dynamic_shapes
def test_the_sizes_that_it_takes(options: ExportConfig) -> None:
    shapes = {}
    for name in KINDS:
        export_command(replace(options, run=f"{name}/0", overwrite=True, onnx=False))
        plain, package = unpacked(options)
        (put, got) = (plain[key][0]["axes"][2:] for key in ("inputs", "outputs"))
        raw, out = (
            np.load(io.BytesIO(package.read(f"test_{kind}.npy"))) for kind in ("input", "output")
        )
        for axis, (read, made) in enumerate(zip(put, got, strict=True), start=2):
            size = read["size"]["min"] if isinstance(read["size"], dict) else read["size"]
            assert raw.shape[axis] == size
            assert out.shape[axis] == size + made["size"]["offset"]
            assert read["scale"] == made["scale"] == 8
            assert read["unit"] == "nanometer"
        shapes[name] = put[0]["size"], got[0]["size"]["offset"], got[0].get("halo")
    assert shapes["valid"] == ({"min": 28, "step": 2}, -16, None)
    assert shapes["same"][0]["step"] == 2
    halo = Run(small_task_config(*KINDS["same"])).architecture.halo
    assert shapes["same"][2] == halo[0] > 0
    assert shapes["windows"][0] == 28
    assert shapes["windows"][2] is None


@pytest.mark.parametrize("name", KINDS)
def test_it_predicts_and_segments_as_the_run_does(
    options: ExportConfig, volume: str, tmp_path: Path, name: str
) -> None:
    options = replace(options, run=f"{name}/0", onnx=False, torch_export=False)
    export_command(options)
    found = []
    for number, run in enumerate((f"{name}/0", options.output)):
        output = str(tmp_path / f"{number}.ome.zarr")
        given: Any = {"run": [run], "runs_dir": options.runs_dir, "input": f"{volume}:raw"}
        predict_command(PredictConfig(**given, output=output, device="cpu", chunk=16))
        labels = str(tmp_path / f"s{number}.ome.zarr")
        segment_command(SegmentConfig(**given, output=labels, device="cpu", chunk=16))
        arrays = [open_array(path) for path in (output, labels)]
        found.append([array.read(array.roi) for array in arrays])
    assert np.ptp(found[0][0]) > 0.01
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)


def test_it_is_trained_on(options: ExportConfig, tmp_path: Path) -> None:
    export_command(replace(options, onnx=False, torch_export=False))
    path = options.output
    given = [
        "architecture=bioimageio", f"architecture.path={path}",
        "architecture.input_shape=[30,30,30]", "start=bioimageio", f"start.path={path}",
    ]  # fmt: skip
    plain = [o for o in SMALL_AFFINITIES if not o.startswith("architecture")]
    run = Run(RunConfig.from_hydra(composed(*plain, *given, "name=b")))
    message = run.begin(lambda source: pytest.fail(f"reads the run {source}"))
    package = unpacked(options)[1]
    weights = torch.load(io.BytesIO(package.read("weights.pt")), weights_only=True)
    ours = run.model.state_dict()
    assert set(ours) == set(weights)
    assert all(torch.equal(ours[name], value) for name, value in weights.items())
    assert str(path) in message
    assert tuple(run.model.input_shape) == (30, 30, 30)


@pytest.mark.parametrize(
    "given",
    [
        Normalization("percentile", (1.0, 99.0)),
        Normalization("zscore"),
        Normalization("range"),
        Normalization(fixed=(10.0, 200.0)),
        Normalization(fixed=([10.0, 0.0], [200.0, 100.0])),
    ],
)
def test_preprocessing_is_that_of_training(given: Normalization) -> None:
    values = np.random.default_rng(1).normal(90, 20, (2, 9, 10, 11)).astype(np.float32)
    array = Array(values, Coordinate(8, 8, 8), Coordinate(0, 0, 0))
    low, high = (np.asarray(v).reshape(-1, 1, 1, 1) for v in given.range_of(array))
    steps, kind = preprocessing(given, "zyx", "float32")
    assert kind == "float32"
    found = preprocessed(steps, values[None], "zyx")[0]
    assert np.abs(found - ((values - low) / (high - low) * 2 - 1)).max() < 1e-4


def fine_tuned(options: ExportConfig) -> list[str]:
    """The command line of a run that is trained from the package."""
    path = options.output
    return [
        *(o for o in SMALL_AFFINITIES if not o.startswith("architecture")),
        "architecture=bioimageio", f"architecture.path={path}",
        "architecture.input_shape=[30,30,30]", "start=bioimageio", f"start.path={path}",
        "name=tuned",
    ]  # fmt: skip


def test_a_run_from_a_package_needs_it_only_to_begin(
    options: ExportConfig, volume: str, tmp_path: Path
) -> None:
    plain = replace(options, onnx=False, torch_export=False)
    export_command(plain)
    runs = tmp_path / "runs"
    train(RunConfig.from_hydra(composed(*fine_tuned(options))), runs)
    # Even under the same name, over what it came from.
    tuned = replace(plain, run="tuned/0", runs_dir=str(runs), overwrite=True)
    export_command(tuned)
    found = []
    for number, run in enumerate(("tuned/0", options.output)):
        output = str(tmp_path / f"{number}.ome.zarr")
        predict_command(
            PredictConfig(
                run=[run], runs_dir=str(runs), input=f"{volume}:raw", output=output, device="cpu"
            )
        )
        array = open_array(output)
        found.append(array.read(array.roi))
    assert np.array_equal(*found)
    Path(options.output).unlink()
    predict_command(
        PredictConfig(
            run=["tuned/0"], runs_dir=str(runs), input=f"{volume}:raw", device="cpu",
            output=str(tmp_path / "gone.ome.zarr"),
        )
    )  # fmt: skip


def test_options_that_the_package_decides_are_refused(
    options: ExportConfig, tmp_path: Path
) -> None:
    export_command(replace(options, onnx=False, torch_export=False))
    given = [*fine_tuned(options), "architecture.halo=[3,3,3]"]
    with pytest.raises(InputError, match=r"architecture\.halo: .*model\.zip says so itself"):
        train(RunConfig.from_hydra(composed(*given)), tmp_path / "runs")


def test_a_run_and_its_package_are_one_model(
    options: ExportConfig, volume: str, tmp_path: Path
) -> None:
    export_command(replace(options, onnx=False, torch_export=False))
    given: Any = {"input": f"{volume}:raw", "runs_dir": options.runs_dir, "device": "cpu"}
    both = ["valid/0", options.output]
    with pytest.raises(InputError, match="named twice: valid/0, iteration 4; valid/0, iteration 4"):
        predict_command(PredictConfig(run=both, output=str(tmp_path / "b.ome.zarr"), **given))
    prediction = str(tmp_path / "p.ome.zarr")
    predict_command(PredictConfig(run=["valid/0"], output=prediction, **given))
    segment_command(
        SegmentConfig(
            run=[options.output], prediction=prediction, output=str(tmp_path / "s.ome.zarr")
        )
    )


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("task", "x", "task is 'x'"),
        ("parameters", 99, "parameters is 99"),
        ("input_voxel_size", ["a", 1, 1], "a voxel size is"),
        ("normalization", {"how": "nope", "percentiles": [0, 1], "fixed": None}, "nope"),
        ("architecture", None, "architecture is None"),
        ("iteration", "many", "iteration is 'many'"),
    ],
)
def test_packages_that_others_have_changed(
    options: ExportConfig, volume: str, tmp_path: Path, key: str, value: Any, message: str
) -> None:
    export_command(replace(options, onnx=False, torch_export=False))
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(options.output) as package:
        package.extractall(folder)
    plain = yaml.safe_load((folder / "rdf.yaml").read_text())
    plain["config"]["dacapo"][key] = value
    (folder / "rdf.yaml").write_text(yaml.safe_dump(plain))
    given: Any = {"input": f"{volume}:raw", "output": str(tmp_path / "p.ome.zarr")}
    with pytest.raises(InputError, match=f"its description is not complete: .*{message}"):
        predict_command(PredictConfig(run=[str(folder)], **given))
    plain["config"]["dacapo"] = "text"
    (folder / "rdf.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(InputError, match=r"was not exported by dacapo\.export"):
        predict_command(PredictConfig(run=[str(folder)], **given))


def test_raw_is_of_8_bits_only_where_it_was(options: ExportConfig) -> None:
    fixed = Normalization(fixed=(0.0, 255.0))
    assert preprocessing(fixed, "zyx", "uint16")[1] == "float32"
    assert preprocessing(fixed, "zyx", "")[1] == "float32"
    assert preprocessing(fixed, "zyx", "uint8")[1] == "uint8"
    found = preprocessing(Normalization("range", fixed=(0.0, 255.0)), "zyx", "uint16")[0]
    assert found[1]["id"] == "scale_range"


def test_mistakes(options: ExportConfig, volume: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"output=model: the name must end in \.zip"):
        replace(options, output="model")
    with pytest.raises(InputError, match=r"run=nope/0: there is no such run"):
        export_command(replace(options, run="nope/0"))
    (tmp_path / "d.zip").mkdir()
    with pytest.raises(InputError, match=r"d\.zip is a folder: choose another name"):
        export_command(replace(options, output=str(tmp_path / "d.zip"), overwrite=True))
    (tmp_path / "d.zip").rmdir()
    Path(options.output).write_text("mine")
    with pytest.raises(InputError, match=r"model\.zip exists already: set overwrite=true"):
        export_command(options)
    assert Path(options.output).read_text() == "mine"
    given: Any = {"input": f"{volume}:raw", "output": str(tmp_path / "p.ome.zarr")}
    with pytest.raises(InputError, match=r"run=.*model\.zip is not a package of bioimage\.io"):
        predict_command(PredictConfig(run=[options.output], **given))
    plain = replace(options, overwrite=True, onnx=False, torch_export=False)
    with pytest.raises(InputError, match=r"model\.zip: its description is not valid .* license"):
        export_command(replace(plain, license="mine"))
    export_command(plain)
    with pytest.raises(InputError, match=r"has one model: leave out iteration and criterion"):
        predict_command(PredictConfig(run=[options.output], iteration=[3], **given))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "model.zip"]


@needs_dynamic_shapes
def test_what_cannot_be_exported_says_so(
    options: ExportConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = torch.nn.Conv3d.forward

    def by_values(self: torch.nn.Conv3d, x: torch.Tensor) -> torch.Tensor:
        return forward(self, x if x.is_meta or x.sum() > 0 else x + 0)

    monkeypatch.setattr(torch.nn.Conv3d, "forward", by_values)
    with pytest.raises(InputError, match=r"torch_export=true: the network cannot be written"):
        export_command(options)
    assert not Path(options.output).exists()
    export_command(replace(options, onnx=False, torch_export=False))
