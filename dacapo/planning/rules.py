"""The rules by which a plan chooses, in the order in which they are applied.

Each rule sees the data, the device and what was chosen before it, and gives a value with its
reason. `RULES` below is the table of all of them, with the sources.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil, prod
from typing import Any

from dacapo.experiments.datasplits.findings import DENSE
from dacapo.nn.geometry import UNetGeometry
from dacapo.planning.fingerprint import Fingerprint
from dacapo.planning.network import (
    NEARLY_EQUAL,
    context_of,
    geometry_for,
    increase_for,
    input_shape_for,
)
from dacapo.planning.plan import Plan, Rule, counted

_PIECES = 3.0
_FEW_IDS = 12
_RARE = 0.05
_MOSTLY_EMPTY = 0.15
_LONG = 2 / 3
_EVEN = 0.5
_ENOUGH_TO_TEST = 30
_SMALL_OBJECT = 0.02
_FEATURE_MAPS = {"cpu": 12, "gpu": 24}
_CROP = {("cpu", 2): 150_000, ("cpu", 3): 440_000, ("gpu", 2): 260_000, ("gpu", 3): 2_000_000}
_SERIAL = (20.0, 100.0)
"""Distance of serial sections, in nm."""
_UNETS = ("unet", "unet_2d", "residual_unet")

Found = tuple[Any, str] | None


def _task(plan: Plan) -> Found:
    found, dims = plan.found, plan.found.dims
    if plan.given.get("task.classes") or _are_classes(plan):
        if plan.given.get("task.classes"):
            return "one_hot", "classes are named"
        if len(found.ids) == 1:
            return "one_hot", "there is one id: a class, or a single object"
        return "one_hot", (
            f"{len(found.ids)} ids, each of {found.pieces:g} separate pieces: classes, not objects"
        )
    if is_dense(found):
        return "affinities" if dims == 3 else "affinities_2d", (
            f"objects touch: {found.touching:.0%} of their surface faces another one, and "
            f"{found.labelled:.0%} of the voxels belong to one"
        )
    return "boundary", (
        f"objects lie on background: {found.labelled:.0%} of the voxels belong to one, and "
        f"{found.touching:.0%} of their surface faces another one"
    )


def is_dense(found: Fingerprint) -> bool:
    """Whether objects mostly touch each other."""
    return found.touching >= DENSE


def _are_classes(plan: Plan) -> bool:
    found = plan.found
    return len(found.ids) == 1 or (len(found.ids) <= _FEW_IDS and found.pieces >= _PIECES)


def _classes(plan: Plan) -> Found:
    if plan["task"] not in ("one_hot", "hot_distance", "distance_classes"):
        return None
    ids = sorted(plan.found.ids)
    total = sum(plan.found.ids.values())
    shares = ", ".join(f"{plan.found.ids[i] / total:.0%}" for i in ids)
    return {f"class_{i}": [i] for i in ids}, (
        f"the ids that occur, with {shares} of the labelled voxels; give them names of your own, "
        f"before the first run"
    )


def _neighborhood(plan: Plan) -> Found:
    if not str(plan["task"]).startswith("affinities"):
        return None
    found = plan.found
    radius = found.thickness[1] / 2
    offsets = []
    for share in (0.0, _LONG / 3, _LONG):
        for axis, size in enumerate(found.voxel_size):
            step = max(1, round(share * radius / size))
            step = min(step, max(1, found.shape[axis] // 4))
            offset = [step if a == axis else 0 for a in range(found.dims)]
            if offset not in offsets:
                offsets.append(offset)
    return offsets, (
        f"neighbouring voxels, pairs two thirds of the median object's radius ({radius:.4g} "
        f"{found.unit}) apart, and a third of that: long ones tell objects apart, most lie in one"
    )


def _width(plan: Plan) -> Found:
    if plan["task"] != "boundary":
        return None
    across = plan.found.thickness[1] / min(plan.found.voxel_size)
    width = round(min(4.0, max(1.5, across / 12)), 1)
    return width, (
        f"a twelfth of the median object's thickness, {across:.0f} voxels, between 1.5 and 4"
    )


def _criterion(plan: Plan) -> Found:
    if plan["task"] == "boundary":
        return "average_precision", (
            "counts objects, missed and false ones as well; VOI and adapted Rand error do not see "
            "false objects on background"
        )
    if str(plan["task"]).startswith("affinities"):
        return "voi", "merges and splits, by the volume they concern (Meilă 2007)"
    return None


def _ignore_smaller(plan: Plan) -> Found:
    if plan["task"] == "one_hot":
        return None
    limit = 100 if plan.found.dims == 3 else 30
    limit = int(min(limit, _SMALL_OBJECT * plan.found.volume))
    sizes = plan.found.sizes
    small = sum(n < limit for n in sizes)
    if small < 0.1 * len(sizes):
        return None
    return limit, f"{small} of {len(sizes)} ids have fewer than {limit} voxels"


def _min_size(plan: Plan) -> Found:
    if plan["task"] == "one_hot":
        return None
    size = int(min(1000, max(10, _SMALL_OBJECT * plan.found.volume)))
    size = int(float(f"{size:.1g}"))
    sizes = [max(1, size // 4), size, 4 * size]
    first, second, third = (f"{100 * n / plan.found.volume:.2g}" for n in sizes)
    return [0, *sizes], (
        f"tried in validation: nothing, and {first}, {second} and {third} % of the median object, "
        f"which has {plan.found.volume:,.0f} voxels"
    )


def _architecture(plan: Plan) -> Found:
    name = "unet" if plan.found.dims == 3 else "unet_2d"
    return name, "with valid padding, so that blocks of a large volume fit together exactly"


def _channels(plan: Plan) -> Found:
    if plan.found.num_channels == 1:
        return None
    return plan.found.num_channels, "the channels of raw"


def _is_unet(plan: Plan) -> bool:
    return plan["architecture"] in _UNETS


def _context(plan: Plan) -> float:
    """How far a voxel of the output should see."""
    _, middle, high = plan.found.thickness
    return 1.5 * (middle if is_dense(plan.found) else high) or 1.0


def _geometry(plan: Plan) -> UNetGeometry:
    """The network so far; what the user has given included."""
    found = plan.found
    chosen = geometry_for(found.raw_voxel_size, found.shape, _context(plan), _crop(plan))
    down = plan.get("architecture.downsample_factors", chosen.downsample)
    kernel = [[[3] * found.dims] * 2]
    own = len(down) != len(chosen.downsample)
    return UNetGeometry(
        downsample=down,
        kernels_down=plan.get(
            "architecture.kernel_size_down",
            kernel * (len(down) + 1) if own else chosen.kernels_down,
        ),
        kernels_up=plan.get(
            "architecture.kernel_size_up", kernel * len(down) if own else chosen.kernels_up
        ),
        same_padding=plan.given.get("architecture.padding") == "same",
    )


def _downsample(plan: Plan) -> Found:
    if not _is_unet(plan):
        return None
    found, geometry = plan.found, _geometry(plan)
    sees = context_of(geometry, found.raw_voxel_size)
    which = "most" if is_dense(found) else "large"
    text = (
        f"a voxel of the output sees raw {sees:.4g} {found.unit} wide, about one and a half times "
        f"the thickness of {which} objects"
    )
    if found.anisotropy >= 1.4:
        text += "; axes are pooled once their voxels are as short as those of the others"
    return [list(f) for f in geometry.downsample], text


def _kernels_down(plan: Plan) -> Found:
    kernels = _geometry(plan).kernels_down
    if not _is_unet(plan) or _is_default(kernels):
        return None
    found, many = plan.found, "none reaches across an axis whose voxels are still much longer"
    if found.anisotropy < NEARLY_EQUAL:
        return _plain(kernels), "few reach across an axis of so few voxels"
    return _plain(kernels), f"{many} than the others"


def _kernels_up(plan: Plan) -> Found:
    kernels = _geometry(plan).kernels_up
    if not _is_unet(plan) or _is_default(_geometry(plan).kernels_down):
        return None
    return _plain(kernels), "like those on the way down"


def _is_default(kernels: Any) -> bool:
    return all(n == 3 for level in kernels for kernel in level for n in kernel)


def _plain(kernels: Any) -> list[list[list[int]]]:
    return [[[int(n) for n in kernel] for kernel in level] for level in kernels]


def _feature_maps(plan: Plan) -> Found:
    if not _is_unet(plan):
        return None
    usual = _FEATURE_MAPS[plan.kind]
    num = round(usual * plan.effort.feature_maps)
    text = f"{usual} are usual for {plan.device.name}"
    if num < usual:
        text += ", but with them the budget is too short for enough steps, or the memory too small"
    return num, text if num <= usual else f"{text}; its memory holds more"


def _growth(plan: Plan) -> Found:
    if not _is_unet(plan) or len(plan["architecture.downsample_factors"]) <= 2:
        return None
    return 2, "feature maps double with each of so many levels"


def _norm(plan: Plan) -> Found:
    if not _is_unet(plan) or plan.found.labelled >= _MOSTLY_EMPTY or plan["task"] == "one_hot":
        return None
    return "group", (
        f"{plan.found.labelled:.0%} of the voxels belong to objects, so crops are nearly empty or "
        f"nearly full, and running statistics would fit neither"
    )


def _input_shape(plan: Plan) -> Found:
    if not _is_unet(plan):
        return None
    found, geometry = plan.found, _geometry(plan)
    shape = input_shape_for(
        geometry, found.raw_voxel_size, found.shape, _trained(plan), _crop(plan)
    )
    out = "x".join(map(str, geometry.output_shape(shape)))
    return shape, (
        f"{round(prod(shape), -3):,} voxels, of which {out} are predicted; as nearly a cube as the "
        f"volume allows"
    )


def _crop(plan: Plan) -> int:
    """Voxels that a crop may have."""
    return int(_CROP[plan.kind, plan.found.dims] * plan.effort.crop)


def _trained(plan: Plan) -> list[int]:
    """Voxels of the part that is trained on."""
    shape = list(plan.found.shape)
    if plan.found.num_volumes == 1:
        axis = _axis(plan)
        shape[axis] = max(1, int(shape[axis] * 0.6) - _gap(plan, axis))
    return shape


def _increase(plan: Plan) -> Found:
    if not _is_unet(plan):
        return None
    factor = 1.8 if plan.kind == "cpu" else 1.5
    shape = plan["architecture.input_shape"]
    increase = increase_for(_geometry(plan), shape, plan.found.shape, factor)
    return increase, "predictions take larger blocks than training, which waste less on borders"


def _precision(plan: Plan) -> Found:
    if not plan.device.gains_from_bf16:
        return None
    return "bf16", f"clearly faster on {plan.device.name}"


def _batch_size(plan: Plan) -> Found:
    if plan.found.dims == 2:
        return 2 if plan.kind == "cpu" else 8, "crops of images are small"
    if plan.kind == "cpu":
        return None
    return 2, "steadier than one, and less of a GPU waits"


def _sampling(plan: Plan) -> Found:
    found = plan.found
    if plan["task"] == "one_hot":
        shares = [n / sum(found.ids.values()) * found.labelled for n in found.ids.values()]
        if min(shares) >= _RARE:
            return None
        return "classes", f"the rarest class has {min(shares):.1%} of the voxels"
    if found.labelled >= _RARE:
        return None
    return "objects", f"only {found.labelled:.1%} of the voxels belong to objects"


def _augments(plan: Plan) -> Found:
    found = plan.found
    names = ["mirror", "transpose", "elastic", "intensity", "gamma", "contrast", "noise"]
    text = "turning and mirroring, of axes with equal voxels only; deformation; other exposure"
    if _are_serial_sections(plan):
        names += ["dark_sections", "shifted_sections"]
        text += "; defects of serial sections"
    elif found.dims == 3 and (found.is_bright_on_dark or found.anisotropy >= 1.4):
        names += ["blur"]
        text += "; blur, as in light microscopy"
    _, middle, high = found.thickness
    if found.dims == 2 and high > 2 * middle:
        names += ["scale", "blur"]
        text += "; other scales, as objects differ in size"
    return names, text


def _are_serial_sections(plan: Plan) -> bool:
    """Whether the first axis looks like that of serial sections."""
    found = plan.found
    size = found.nanometres
    return (
        found.dims == 3
        and size is not None
        and size[0] > 1.4 * size[1]
        and _SERIAL[0] <= size[0] <= _SERIAL[1]
    )


def _datasplit(plan: Plan) -> Found:
    if plan.found.num_volumes > 1:
        return "volumes", "whole volumes are held back to validate on"
    return "regions", "there is one volume, so parts of it are held back"


def _axis(plan: Plan) -> int:
    """The axis to split along: the longest of those along which all parts hold objects."""
    given = plan.given.get("datasplit.axis")
    if given in ("z", "y", "x"):
        return "zyx".index(str(given)) - 3 + plan.found.dims
    found = plan.found
    length = [n * size for n, size in zip(found.shape, found.voxel_size, strict=True)]
    return max(range(found.dims), key=lambda a: (min(_evenness(plan, a), _EVEN), length[a], a))


def _evenness(plan: Plan, axis: int) -> float:
    """The share of objects in the part that has least, relative to that of the volume."""
    if not plan.found.profiles:
        return 1.0
    profile = plan.found.profiles[axis]
    cuts = [0, int(0.6 * len(profile)), int(0.8 * len(profile)), len(profile)]
    shares = [sum(profile[a:b]) / max(1, b - a) for a, b in pairwise(cuts)]
    return min(shares) / max(1e-9, sum(profile) / len(profile))


def _split_axis(plan: Plan) -> Found:
    if plan["datasplit"] != "regions":
        return None
    axis = _axis(plan)
    text = f"{plan.found.shape[axis]} voxels long"
    if _evenness(plan, axis) >= _EVEN:
        text = f"the longest axis along which each part holds objects, {text}"
    return "zyx"[axis - plan.found.dims], text


def _gap(plan: Plan, axis: int) -> int:
    """Voxels between the parts: as far as targets reach, and better a whole object."""
    offsets = plan.get("task.neighborhood", [])
    reach = max([abs(o[axis]) for o in offsets] or [1])
    reach = max(reach, ceil(plan.get("task.width", 1)))
    across = plan.found.thickness[1] / plan.found.voxel_size[axis]
    if across != across:  # no objects
        across = 1
    return int(max(reach, min(across, 0.06 * plan.found.shape[axis])))


def _buffer(plan: Plan) -> Found:
    if plan["datasplit"] != "regions":
        return None
    axis = _axis(plan)
    gap = _gap(plan, axis)
    width = gap * plan.found.voxel_size[axis]
    return float(f"{width:.6g}"), (
        f"{gap} voxels: as far as targets reach, and up to the thickness of an object, so that "
        f"parts share as little as the volume allows"
    )


def _has_test(plan: Plan) -> bool:
    return plan.found.num_objects >= _ENOUGH_TO_TEST or plan["task"] == "one_hot"


def _train_share(plan: Plan) -> Found:
    if plan["datasplit"] != "regions":
        return None
    parts = {part: plan.given.get(f"datasplit.{part}") for part in ("validate", "test")}
    if parts["validate"] is not None:
        rest = 1 - float(parts["validate"])
        test = parts["test"] if parts["test"] is not None else min(0.2, rest / 2) * _has_test(plan)
        return round(rest - float(test), 6), "of the axis"
    if parts["test"] is not None:
        return round(0.75 * (1 - float(parts["test"])), 6), "of the axis"
    return (0.6, "of the axis") if _has_test(plan) else (0.7, "of the axis")


def _validate_share(plan: Plan) -> Found:
    if plan["datasplit"] != "regions":
        return None
    rest = 1 - float(plan["datasplit.train"])
    given = plan.given.get("datasplit.test")
    share = rest - float(given) if given is not None else rest / 2 if _has_test(plan) else rest
    return round(share, 6), "chooses the iteration and the parameters"


def _test_share(plan: Plan) -> Found:
    if plan["datasplit"] != "regions":
        return None
    if not _has_test(plan):
        held = counted(plan.found.num_objects, "object")
        return 0.0, (
            f"{held} are too few to hold some back for a test, so the score of the chosen model "
            f"will be somewhat optimistic"
        )
    rest = 1 - float(plan["datasplit.train"]) - float(plan["datasplit.validate"])
    return round(rest, 6), "opened only by dacapo.compare test=true, once all choices are made"


def _normalize(plan: Plan) -> Found:
    low, _, high = plan.found.intensities
    if plan.found.dtype == "uint8" and high - low > 150:
        return None
    return "percentile", (
        f"98 % of the intensities lie between {low:g} and {high:g} of {plan.found.dtype}"
    )


RULES = (
    Rule(
        "task", _task, "Turaga et al. 2010, Funke et al. 2018 (affinities); docs/how-to/recipes.md"
    ),
    Rule("task.classes", _classes),
    Rule("task.neighborhood", _neighborhood, "Lee et al. 2017, Wolf et al. 2018"),
    Rule("task.width", _width),
    Rule("task.criterion", _criterion, "docs/reference/scores.md"),
    Rule("task.ignore_smaller", _ignore_smaller),
    Rule("task.post_processor.min_size", _min_size),
    Rule("architecture", _architecture),
    Rule("architecture.fmaps_in", _channels),
    Rule("architecture.downsample_factors", _downsample, "Isensee et al. 2021 (nnU-Net)"),
    Rule("architecture.kernel_size_down", _kernels_down, "Isensee et al. 2021 (nnU-Net)"),
    Rule("architecture.kernel_size_up", _kernels_up),
    Rule("architecture.fmap_inc_factor", _growth),
    Rule("architecture.num_fmaps", _feature_maps, "docs/explanation/training.md"),
    Rule("architecture.norm", _norm, "docs/explanation/training.md"),
    Rule("datasplit", _datasplit),
    Rule("datasplit.axis", _split_axis),
    Rule("datasplit.buffer", _buffer),
    Rule("datasplit.train", _train_share),
    Rule("datasplit.validate", _validate_share),
    Rule("datasplit.test", _test_share),
    Rule("datasplit.normalize", _normalize),
    Rule("architecture.input_shape", _input_shape),
    Rule("architecture.eval_shape_increase", _increase),
    Rule("trainer.precision", _precision),
    Rule("trainer.batch_size", _batch_size),
    Rule("trainer.sampling", _sampling),
    Rule("trainer/augments", _augments),
)
