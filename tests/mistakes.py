"""The table of mistakes: what people type, and what they are told.

`python -m tests.mistakes` rewrites the answers in `golden/mistakes.txt` when messages have changed:
read the difference before committing it. A line `$ COMMAND` is followed by the exit status, `early`
(before torch is imported, so in a second) or `late`, and the first line of the answer.
"""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import tifffile

from tests.forked import run_forked

TABLE = Path(__file__).parent / "golden" / "mistakes.txt"
_SMALL = (
    "architecture.input_shape=[28,28,28] architecture.eval_shape_increase=[8,8,8] "
    "architecture.downsample_factors=[[2,2,2]] architecture.num_fmaps=4 num_iterations=2 "
    "'task.neighborhood=[[1,0,0],[0,1,0],[0,0,1],[4,0,0],[0,4,0],[0,0,4]]'"
)
_DATA = "datasplit.raw=vol.h5:raw datasplit.gt=vol.h5:labels"
SHORT = {
    "VOLUMES": f"train {_SMALL} datasplit=volumes {_DATA} "
    "'datasplit.train={a: {region: {z: [0, 200]}}}' "
    "'datasplit.validate={b: {region: {z: [280, 384]}}}'",
    "REGIONS": f"train {_SMALL} datasplit=regions {_DATA} datasplit.buffer=48",
    "INSPECT": f"inspect {_SMALL} datasplit=regions {_DATA} datasplit.buffer=48",
    "SCORE": "score segmentation=seg.h5:seg gt=vol.h5:labels kind=instance",
    "LONG": "a" * 300,
}
"""Words of the table that stand for arguments that work."""


@dataclass(frozen=True)
class Mistake:
    """A command, and the answer to it.

    Attributes:
        when: early (before torch is imported) or late.
        answer: the first line.
    """

    command: str
    status: int
    when: str
    answer: str


def read_table() -> list[Mistake]:
    """The mistakes of the table, with the answers that are expected."""
    found = []
    command = None
    for line in TABLE.read_text().splitlines():
        if line.startswith("$ "):
            command = line[2:]
        elif line and not line.startswith("#"):
            status, when, answer = line.split(" ", 2)
            assert command is not None
            found.append(Mistake(command, int(status), when, answer))
    return found


def answer(command: str, data: Path) -> tuple[Mistake, list[str], str]:
    """Run a command beside links to the data.

    Returns:
        What it answered, the files that it left, and all that it printed.
    """
    for word, arguments in SHORT.items():
        command_line = re.sub(rf"\b{word}\b", lambda _, a=arguments: a, command)
        if command_line != command:
            break
    name, *arguments = shlex.split(command_line)
    with tempfile.TemporaryDirectory() as folder:
        for path in data.iterdir():
            os.symlink(path, Path(folder) / path.name)
        given = set(os.listdir(folder))
        result = run_forked(name, arguments, Path(folder))
        left = sorted(set(os.listdir(folder)) - given)
    when = "late" if "torch" in result.imported else "early"
    first = result.first_line.replace(folder, "HERE").replace(str(data), "DATA")
    return Mistake(command, result.status, when, first), left, result.out + result.err


def make_data(folder: Path) -> None:
    """Files that are right, and files that are wrong in one way each."""
    n = 48
    raw = np.random.default_rng(0).integers(0, 255, (n, n, n)).astype(np.uint8)
    z, y, x = np.indices(raw.shape) // 8
    labels = (1 + z + 6 * y + 36 * x).astype(np.uint32)
    mask = np.ones_like(raw)
    _write(folder / "vol.h5", {
        "raw": raw, "labels": labels, "mask": mask, "nothing": mask * 0,
        "mask_of_objects": labels % 2 == 0, "ones": mask, "negative": labels.astype(int) - 2,
        "floats": labels / 2, "nan": np.where(raw == 3, np.nan, raw.astype(np.float32)),
        "small": labels[:20, :20, :20], "channels": np.stack([raw] * 3), "flat": raw[0],
        "zero_weight": mask * 0.0, "nan_weight": np.where(raw == 3, np.nan, 1.0),
        "text": np.array([b"a", b"b"]), "empty": np.zeros((0, 4, 4)), "thin": raw[:3],
    })  # fmt: skip
    for name, changed in {
        "micrometres": {"units": "um"}, "furlongs": {"units": "furlong"},
        "shifted": {"offset": [4, 0, 0]}, "far": {"offset": [8000, 0, 0]},
        "uneven": {"voxel_size": [8, 8, 12]},
    }.items():  # fmt: skip
        _write(folder / "vol.h5", {name: labels}, **changed)
    _write(folder / "vol.h5", {"coarse": labels[::2, ::2, ::2]}, voxel_size=[16, 16, 16])
    _write(folder / "silent.h5", {"raw": raw, "labels": labels}, voxel_size=None, units=None)
    _write(folder / "fine.h5", {"raw": raw, "labels": labels}, voxel_size=[4, 4, 4])
    _write(folder / "seg.h5", {"seg": labels, "half": labels[:24], "floats": labels / 2})
    _write(folder / "seg.h5", {"coarse": labels[::2, ::2, ::2]}, voxel_size=[16, 16, 16])
    tifffile.imwrite(folder / "stack.tif", raw)
    (folder / "broken.h5").write_bytes((folder / "vol.h5").read_bytes()[:3000])
    (folder / "text.h5").write_text("hello")
    (folder / "cut.tif").write_bytes((folder / "stack.tif").read_bytes()[:5000])
    (folder / "void.tif").write_bytes(b"")
    (folder / "notes.txt").write_text("hello")
    (folder / "dangling.h5").symlink_to("gone.h5")
    for name, text in _TABLES.items():
        (folder / name).write_bytes(text.encode("latin1"))
    (folder / "one_part" / "train").mkdir(parents=True)
    (folder / "no_files").mkdir()
    for name, text in _YAMLS.items():
        (folder / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "conf" / name).write_bytes(text.encode("latin1"))


_TABLES = {
    "one_part.csv": "split,raw,gt\ntrain,vol.h5:raw,vol.h5:labels\n",
    "column.csv": "split,raw,gt,msk\ntrain,vol.h5:raw,vol.h5:labels,x\n",
    "part.csv": "split,raw,gt\ntrian,vol.h5:raw,vol.h5:labels\n",
    "semicolons.csv": "split;raw;gt\ntrain;vol.h5:raw;vol.h5:labels\n",
    "file.csv": "split,raw,gt\ntrain,none.h5:raw,vol.h5:labels\nvalidate,a.h5:raw,b.h5:gt\n",
    "latin.csv": "split,raw,gt\ntrain,\xfc.h5:raw,vol.h5:labels\n",
}
_GLOBAL = "# @package _global_\n"
_YAMLS = {
    "experiment/tab.yaml": f"{_GLOBAL}trainer:\n\tbatch_size: 3\n",
    "experiment/twice.yaml": f"{_GLOBAL}num_iterations: 5\nnum_iterations: 6\n",
    "experiment/latin.yaml": f"{_GLOBAL}# \xfcber\nnum_iterations: 5\n",
    "experiment/key.yaml": f"{_GLOBAL}trainer:\n  batchsize: 5\n",
    "experiment/value.yaml": f"{_GLOBAL}trainer:\n  batch_size: many\n",
    "experiment/option.yaml": f"{_GLOBAL}defaults:\n  - override /task: afinities\n",
    "experiment/list.yaml": "- a\n- b\n",
    "experiment/package.yaml": "num_iterations: 5\n",
    "experiment/override.yaml": f"{_GLOBAL}defaults:\n  - task: distance\n",
    "datasplit/ours.yaml": "defaults: [volumes, _self_]\ntrain: {a: {raw: vol.h5:raw, "
    "gt: vol.h5:labels, resmple: [8, 8, 8]}}\n",
}


def _write(path: Path, arrays: dict[str, np.ndarray], **changed: object) -> None:
    attributes = {"voxel_size": [8, 8, 8], "units": "nm", **changed}
    with h5py.File(path, "a") as file:
        for name, array in arrays.items():
            dataset = file.create_dataset(name, data=array)
            for key, value in attributes.items():
                if value is not None:
                    dataset.attrs[key] = value


def _rewritten(data: Path) -> Iterator[str]:
    """The lines of the table with the answers of today."""
    for line in TABLE.read_text().splitlines():
        if line.startswith("$ "):
            got, left, _ = answer(line[2:], data)
            print(got, left, flush=True)
            yield line
            yield f"{got.status} {got.when} {got.answer}"
        elif not line or line.startswith("#"):
            yield line


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        make_data(Path(made))
        TABLE.write_text("\n".join(_rewritten(Path(made))) + "\n")
