from __future__ import annotations

import dataclasses
import math
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from dacapo.cli import field_docs, from_arguments
from dacapo.config import (
    Config,
    _classes,
    check_ranges,
    conf_dir,
    decode,
    encode,
    identity_hash,
    interval,
    ranged,
)
from dacapo.errors import InputError
from dacapo.experiments.architectures import UNetConfig
from dacapo.experiments.datasplits import SyntheticDataSplitConfig, VolumesDataSplitConfig
from dacapo.experiments.run_config import GROUPS, RunConfig, TrainConfig
from dacapo.experiments.starts import RunStart
from dacapo.experiments.tasks import AffinitiesTaskConfig
from dacapo.experiments.tasks.post_processors import MutexWatershed
from dacapo.experiments.trainers import DefaultTrainerConfig
from dacapo.experiments.trainers.augments import Elastic, Mirror
from tests.conftest import SMALL_AFFINITIES, composed, small_run_config
from tests.experiments.architectures.test_bioimageio import write_package


def python_run_config(**changes: object) -> RunConfig:
    config = RunConfig(
        AffinitiesTaskConfig(
            neighborhood=[[1, 0, 0], [0, 1, 0], [0, 0, 1], [4, 0, 0], [0, 4, 0], [0, 0, 4]],
            post_processor=MutexWatershed(bias=[0.3, 0.5], long_bias=[0.5], min_size=[0]),
        ),
        UNetConfig(
            input_shape=[28, 28, 28],
            eval_shape_increase=[8, 8, 8],
            downsample_factors=[[2, 2, 2]],
            num_fmaps=4,
        ),
        DefaultTrainerConfig(
            warmup_iterations=2,
            augments={"mirror": Mirror(), "elastic": Elastic(p=0.5)},
        ),
        SyntheticDataSplitConfig(
            train_shape=[48, 48, 48], validate_shape=[24, 32, 32], cell_size=10
        ),
        "a",
        0,
        6,
        4,
    )
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]


def test_python_and_hydra_give_equal_configs() -> None:
    hydra = small_run_config("name=a", "trainer/augments=[elastic,mirror]")
    assert hydra == python_run_config()


def test_a_saved_config_loads_back_equal() -> None:
    config = small_run_config("start=run", "start.run=other/1", "trainer.optimizer=radam")
    text = yaml.safe_dump(encode(config))
    assert decode(yaml.safe_load(text)) == config
    assert config.start_config == RunStart(run="other/1")


def test_a_saved_config_of_an_unknown_class_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"names 'NoSuchConfig'.*import the module"):
        decode({"_type_": "NoSuchConfig"})


@pytest.mark.parametrize("path", sorted(Path(conf_dir()).glob("*/**/*.yaml")), ids=lambda p: p.stem)
def test_every_yaml_composes_and_builds(path: Path, tmp_path: Path) -> None:
    group = str(path.parent.relative_to(conf_dir()))
    option = f"[{path.stem}]" if group == "trainer/augments" else path.stem
    overrides = [f"{group}={option}"]
    classes = "task.classes={mito: [3, 4], er: [7]}"
    if path.stem.endswith("_2d"):
        overrides += ["task=affinities_2d", "architecture=unet_2d", "datasplit=synthetic_2d"]
    extra = {
        "volumes": [
            "datasplit.train={a: {raw: 'a.h5:raw', gt: 'a.h5:gt'}}",
            "datasplit.validate={a: {raw: 'a.h5:raw', gt: 'a.h5:gt'}}",
        ],
        "regions": ["datasplit.raw=a.h5:raw", "datasplit.gt=a.h5:gt"],
        "folder": ["datasplit.path=data"],
        "csv": ["datasplit.path=volumes.csv"],
        **{
            name: ["datasplit.raw=a.h5:raw", "datasplit.gt=a.h5:labels"]
            for name in ("flyem", "nuclei", "ovule", "plant_cells", "chloroplasts")
        },
        "axons": ["datasplit.path=images"],
        "banis": [
            "datasplit.raw=a.h5:raw",
            "datasplit.gt=a.h5:labels",
            "datasplit.train={a: {}}",
            "datasplit.validate={b: {}}",
        ],
        "run": ["start.run=a/0"],
        "checkpoint": ["start.path=weights.safetensors"],
        "start/bioimageio": ["start.path=model.zip"],
        "architecture/bioimageio": [
            f"architecture.path={write_package(tmp_path / 'model')}",
            "architecture.input_shape=[16,16,16]",
        ],
        "wrapped": ["architecture.network=Smooth", "architecture.input_shape=[16,16,16]"],
        "distance_classes": [classes],
        "hot_distance": [classes],
        "one_hot": [classes],
        "argmax": ["task=one_hot", classes],
        "threshold": ["task=hot_distance", classes],
        "watershed": ["task=distance"],
        "components": ["task=boundary"],
        "pretrained": ["task.weights=a.safetensors"],
    }
    overrides = list(dict.fromkeys(overrides)) + extra.get(path.stem, [])
    overrides += extra.get(f"{group}/{path.stem}", [])
    config = RunConfig.from_hydra(composed(*overrides))
    for name, node in config.configs().items():
        if node is not None and name != "datasplit" and path.stem != "pretrained":
            node.build()


def plain_option(cls: type) -> str:
    """The option that is nothing but a class: UNetConfig's is unet, Blur's is blur."""
    return cls.__name__.removesuffix("Config").lower()


@pytest.mark.parametrize(
    "path",
    [p for g in ("architecture", "datasplit", "start", "task", "trainer", "halving")
     for p in sorted(Path(conf_dir(), g).rglob("*.yaml"))],
    ids=lambda p: f"{p.parent.name}/{p.stem}",
)  # fmt: skip
def test_a_default_is_written_once(path: Path) -> None:
    """A yaml gives what has no default, or what makes its option another one than the plain one."""
    content = yaml.safe_load(path.read_text())
    if not content:  # the task's own
        return
    (name, *_) = [d for d in content.pop("defaults") if isinstance(d, str) and d != "_self_"]
    cls = _classes.get(name)
    if cls is None:  # it builds on another option
        assert (path.parent / f"{name}.yaml").exists()
        return
    names = {path.stem, path.stem.replace("_", "")}
    is_plain = bool({plain_option(cls), plain_option(cls).removesuffix("task")} & names)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key, value in content.items():
        field = fields[key]
        default = field.default if field.default_factory is MISSING else field.default_factory()
        assert default != value, f"{path}: {key} repeats the default"
        if is_plain:
            assert default in (MISSING, None), f"{path}: {key}={value}, but {default} in Python"


def test_the_root_schema_is_keyed_like_run_config() -> None:
    ours = {f.name for f in dataclasses.fields(TrainConfig)}
    theirs = {f.name.removesuffix("_config") for f in dataclasses.fields(RunConfig)}
    assert ours - theirs == {"runs_dir", "retry", "halving"}
    assert theirs - ours == set()
    assert {f"{g}_config" for g in GROUPS} < {f.name for f in dataclasses.fields(RunConfig)}


def test_every_field_of_every_config_has_its_text() -> None:
    from dacapo.config import _classes

    for cls in _classes.values():
        docs = field_docs(cls)
        for option in dataclasses.fields(cls):
            assert docs.get(option.name), f"{cls.__name__}.{option.name} has no text below it"


@dataclass(kw_only=True)
class Inner(Config):
    share: float | None = ranged(None, above=0, high=1)


@dataclass(kw_only=True)
class Outer(Config):
    size: int = ranged(1, low=1)
    sizes: list[list[int]] = ranged([[1]], low=1)
    span: list[float] = interval([0.0, 1.0], low=0)
    inner: Inner = field(default_factory=Inner)
    many: dict[str, Inner] = field(default_factory=dict)


class TestRanges:
    """A range is declared once, and every way to a config checks it."""

    MISTAKES = (
        ({"size": 0}, "size=0 must be at least 1"),
        ({"span": [0.0, math.inf]}, "span=[0.0, inf]: give [low, high]"),
        ({"sizes": [[2, 0]]}, "sizes=[[2, 0]]: every number must be at least 1"),
        ({"span": [2.0, 1.0]}, "span=[2.0, 1.0]: give [low, high] in that order, both at least 0"),
        ({"span": [-1.0, 1.0]}, "span=[-1.0, 1.0]: give [low, high]"),
        ({"span": [1.0]}, "span=[1.0]: give [low, high]"),
        (
            {"inner": {"share": 2.0}},
            "inner.share=2.0 must be greater than 0 and at most 1",
        ),
        ({"many": {"a": {"share": 0.0}}}, "many.a.share=0.0 must be greater than 0"),
    )

    @pytest.mark.parametrize(("changed", "message"), MISTAKES)
    def test_a_composed_config_names_the_full_key(
        self, changed: dict[str, Any], message: str
    ) -> None:
        node = OmegaConf.merge(OmegaConf.structured(Outer), changed)
        with pytest.raises(InputError) as error:
            check_ranges(node)
        assert str(error.value).startswith(message)

    @pytest.mark.parametrize(("changed", "message"), MISTAKES[:6])
    def test_an_object_checks_itself(self, changed: dict[str, Any], message: str) -> None:
        with pytest.raises(InputError) as error:
            Outer(**changed)
        assert str(error.value).startswith(message)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"size": None}, "size=None must be a finite number, at least 1"),
            ({"size": np.int64(0)}, "size=0 must be at least 1"),
            ({"size": "3"}, "size=3 must be a finite number, at least 1"),
            ({"sizes": np.array([[2, 0]])}, "sizes="),
            ({"sizes": [[2, None]]}, r"sizes=[[2, None]]: every number must be a finite number"),
            ({"span": [np.float32(2), 1.0]}, "span="),
        ],
    )
    def test_an_object_is_given_numbers_of_any_library_and_none_where_it_may(
        self, changed: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InputError) as error:
            Outer(**changed)
        assert str(error.value).startswith(message)
        assert Outer(size=np.int64(2), sizes=np.array([[1, 2]])).size == 2  # type: ignore[arg-type]

    def test_a_strict_interval_has_two_numbers(self) -> None:
        with pytest.raises(InputError, match=r"percentiles=.*: give .* different"):
            VolumesDataSplitConfig(percentiles=[5.0, 5.0])

    def test_bounds_are_in_or_out_as_declared(self) -> None:
        assert Outer(size=1, inner=Inner(share=1.0), span=[0.0, 0.0]).inner.share == 1.0
        assert Inner(share=None).share is None
        with pytest.raises(InputError):
            Inner(share=0.0)


class TestIdentity:
    def test_what_does_not_decide_the_result_is_not_in_it(self) -> None:
        base = small_run_config().name
        for same in (
            "trainer.device=cpu",
            "trainer.num_workers=3",
            "trainer.num_threads=1",
            "trainer.checkpoint_interval=7",
            "validation_interval=2",
            "repetition=5",
            "runs_dir=elsewhere",
            "task.post_processor.bias=[0.3]",
            "task.ignore_smaller=9",
        ):
            assert small_run_config(same).name == base, same

    def test_what_decides_the_result_is_in_it(self) -> None:
        names = [
            small_run_config(*change).name
            for change in (
                [],
                ["trainer.learning_rate=0.1"],
                ["datasplit.seed=1"],
                ["datasplit.voxel_size=[8,8,9]"],
                ["trainer/augments=[mirror]"],
                ["trainer.stop_patience=3"],
                ["trainer.stop_patience=3", "task.post_processor.bias=[0.3]"],
                ["architecture.num_fmaps=5"],
                ["num_iterations=12"],  # a longer schedule
                ["start=run", "start.run=a/0"],
            )
        ]
        assert len(set(names)) == len(names)

    def test_more_iterations_at_the_old_schedule_are_the_same_run(self) -> None:
        longer = small_run_config("num_iterations=12", "trainer.schedule_iterations=6")
        assert longer.name == small_run_config().name

    def test_python_and_hydra_give_equal_names(self) -> None:
        hydra = small_run_config("trainer/augments=[elastic,mirror]")
        python = python_run_config(name="")
        assert identity_hash(hydra.identity()) == identity_hash(python.identity())
        # Hydra knows the options' names, Python only those of the classes.
        assert python.name.startswith("affinities_unet_")

    def test_sharing_a_trainer_config_does_not_share_the_schedule(self) -> None:
        trainer = DefaultTrainerConfig()
        one = python_run_config(trainer_config=trainer, num_iterations=10)
        two = python_run_config(trainer_config=trainer, num_iterations=20)
        assert trainer.schedule_iterations is None
        assert one.trainer_config.schedule_iterations == 10
        assert two.trainer_config.schedule_iterations == 20


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("num_iterations=0", "^num_iterations=0 must be at least 1"),
        ("validation_interval=0", "validation_interval=0 must be at least 1"),
        ("repetition=-1", "repetition=-1 must be at least 0"),
        ("name=a/b", "name=a/b: a name becomes a folder"),
        ("task.neighborhood=[]", "task.neighborhood is empty"),
        ("task.neighborhood=[[1,0]]", r"task.neighborhood has offsets of 2 axes"),
        ("task.neighborhood=[[1,0,0],[1,0]]", r"task.neighborhood: \[1, 0\] is not an offset"),
        ("task.criterion=dice", "task.criterion=dice: there is no such score"),
        ("trainer.batch_size=0", "trainer.batch_size=0 must be at least 1"),
        ("trainer.augments.noise.p=2", "trainer.augments.noise.p=2.0 must be between 0 and 1"),
        ("architecture.input_shape=[28,28,27]", r"nearest that fits is \[28, 28, 2[68]\]"),
        ("architecture.input_shape=[28,28,64]", r"fewer than the network's input"),
        ("architecture.fmaps_in=2", "architecture.fmaps_in=2, but .* has 1 channels"),
        ("datasplit.train_shape=[10]", r"datasplit.train_shape=\[10\]"),
        ("datasplit.voxel_size=[8,8,4.0005]", "not a whole multiple of 1 pm"),
        ("datasplit.seed=-1", "datasplit.seed=-1 must be at least 0"),
        ("architecture.fmaps_out=-3", r"architecture.fmaps_out=-3 must be at least 1 \(or null\)"),
        (
            "trainer.learning_rate=nan",
            "trainer.learning_rate=nan must be a finite number, greater than 0",
        ),
        (
            "trainer.gradient_clip=nan",
            "trainer.gradient_clip=nan must be a finite number, greater than 0",
        ),
        (
            "trainer.weight_decay=inf",
            "trainer.weight_decay=inf must be a finite number, at least 0",
        ),
        (
            "task.post_processor.bias=[0.5,0.5]",
            r"task.post_processor.bias=\[0.5, 0.5\] contains a value twice",
        ),
    ],
)
def test_bad_values_name_the_key(override: str, message: str) -> None:
    from dacapo.experiments.run import Run

    with pytest.raises(InputError, match=message):
        Run(small_run_config(override))


@dataclasses.dataclass(kw_only=True)
class Command:
    """Does nothing."""

    runs_dir: str = "runs"
    """Where."""
    watch: bool = False
    """Again and again."""


@pytest.mark.parametrize("key", ["task.nope", "nope", "task.loss.nope", "trainer.augments.noise.x"])
def test_an_added_key_without_a_meaning_is_refused(key: str) -> None:
    with pytest.raises(InputError, match=rf"^there is no key {key}\n  choose from"):
        small_run_config(f"+{key}=1")


def test_commands_take_key_value_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert from_arguments(Command, ["watch=true"]) == Command(watch=True)
    with pytest.raises(InputError, match="'--watch' is not key=value"):
        from_arguments(Command, ["--watch"])
    with pytest.raises(Exception, match="nope"):
        from_arguments(Command, ["nope=1"])
    assert from_arguments(Command, ["--help"]) is None
    assert "Again and again." in capsys.readouterr().out


def test_small_overrides_are_all_known() -> None:
    assert OmegaConf.is_config(composed(*SMALL_AFFINITIES))


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "a/${name}", "${", "???"])
def test_a_saved_config_is_never_resolved(text: str) -> None:
    """Whoever wrote it may want to read the environment of whoever opens it."""
    saved = encode(small_run_config("name=a"))
    saved["datasplit_config"]["seed"] = text
    with pytest.raises(InputError, match=r"datasplit_config.seed=.* is not a plain value"):
        decode(saved)
    saved = encode(small_run_config("name=a"))
    saved["task_config"]["neighborhood"][0] = [text, 0, 0]
    with pytest.raises(InputError, match=r"neighborhood\[0\]\[0\]=.* is not a plain value"):
        decode(saved)
