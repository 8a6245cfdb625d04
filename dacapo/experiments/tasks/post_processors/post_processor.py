"""Base classes of post-processors: stages from a prediction to a segmentation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dacapo.config import Config, ranged
from dacapo.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from dacapo.experiments.tasks.post_processors.blockwise import Blockwise

    Volume = np.ndarray[Any, np.dtype[Any]]

_MAX_THREADS = 4
"""Threads, each of which may hold a copy of the prediction."""
_SMALL = 2**31
"""Bytes of copies that more threads may hold together."""


class PostProcessorParameters:
    """One setting of a post-processor: its parameters and their values.

    A subclass may be a dataclass; its field `id`, if any, numbers the settings and is not a
    parameter.
    """


class Setting(PostProcessorParameters):
    """One value of each parameter, as attributes.

    >>> Setting(bias=0.5, min_size=64).bias
    0.5
    """

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no parameter {name!r}; there are {', '.join(vars(self))}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Setting) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).items()))

    def __repr__(self) -> str:
        return f"Setting({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


P = TypeVar("P", bound=PostProcessorParameters)
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class LookupSegmentation:
    """A segmentation as fragments, and a lookup table from fragments to segments.

    Attributes:
        fragments: (*spatial), consecutive from 0; the same array for all settings that share it.
        lookup: the segment of each fragment, 0 for fragment 0.
    """

    fragments: Volume
    lookup: Volume

    def volume(self) -> Volume:
        """The segmentation (*spatial)."""
        return self.lookup[self.fragments]


class PostProcessor(ABC, Generic[P]):
    """Turns a prediction into segmentations, one for each setting of its parameters."""

    @abstractmethod
    def enumerate_parameters(self) -> Sequence[P]:
        """All settings that validation tries, always in the same order."""

    @abstractmethod
    def process(self, prediction: Volume, parameters: P) -> Volume:
        """The segmentation of a prediction (C, *spatial), unsigned integers.

        (*spatial) for objects or mutually exclusive classes, with 0 for background; or (K,
        *spatial) of 0 and 1, one channel per class.
        """

    def process_all(self, prediction: Volume) -> Iterator[tuple[P, Volume | LookupSegmentation]]:
        """The segmentation of every setting; what settings share is computed once."""
        for parameters in self.enumerate_parameters():
            yield parameters, self.process(prediction, parameters)

    def blockwise(self, parameters: P) -> Blockwise:
        """How one setting segments a volume larger than memory.

        Raises:
            InputError: it does not.
        """
        raise InputError("task.post_processor does not work block by block")


Values = Mapping[str, Any]
Run = Callable[[Any, Sequence[Values]], Iterator[Any]]


@dataclass(frozen=True)
class Stage:
    """One step of a post-processor.

    Attributes:
        run: (result of the previous stage, settings of this stage) -> one result per setting.
        values: parameter -> values to try; every combination is a setting.
        releases_lock: whether it releases the interpreter's lock, so that threads make it faster.
    """

    run: Run
    values: Mapping[str, Sequence[Any]]
    releases_lock: bool = False

    @property
    def settings(self) -> list[Values]:
        return [dict(zip(self.values, v, strict=True)) for v in product(*self.values.values())]

    def results(self, before: Any, then: Callable[[Values, Any], Iterator[T]]) -> Iterator[T]:
        """What follows from each setting in turn, computed by several threads where that helps.

        Threads also compute what follows, if everything that they hold is small.
        """
        settings = self.settings
        size = getattr(before, "nbytes", _SMALL)
        threads = _num_threads(size) if self.releases_lock else 1
        if threads == 1:
            for setting, result in zip(settings, self.run(before, settings), strict=True):
                yield from then(setting, result)
            return
        from dacapo.processes.prefetch import prefetch

        is_small = threads * size <= _SMALL

        def follow(number: int) -> Iterable[T]:
            (result,) = self.run(before, settings[number : number + 1])
            found = then(settings[number], result)
            return list(found) if is_small else found

        for found in prefetch(follow, 0, len(settings), threads):
            yield from found


def _num_threads(size: int) -> int:
    """The number of threads, each of which may hold as many bytes."""
    import torch

    return min(torch.get_num_threads(), max(_MAX_THREADS, _SMALL // max(1, size)))


def stage(
    function: Callable[..., Any], releases_lock: bool = False, **values: Sequence[Any]
) -> Stage:
    """A stage that calls `function(previous, **setting)` for each setting."""
    return Stage(
        lambda before, settings: (function(before, **s) for s in settings), values, releases_lock
    )


class GridPostProcessor(PostProcessor[Setting]):
    """Runs stages in sequence for every combination of their parameters' values.

    A stage runs once per setting of the stages up to and including itself, so that seeds, fragments
    or an agglomeration are computed once for all settings that share them.
    """

    def __init__(
        self, stages: Sequence[Stage], blockwise: Callable[[Setting], Blockwise] | None = None
    ) -> None:
        self._stages, self._blockwise = list(stages), blockwise

    def enumerate_parameters(self) -> list[Setting]:
        every = product(*(stage.settings for stage in self._stages))
        return [Setting(**{k: v for part in parts for k, v in part.items()}) for parts in every]

    def process(self, prediction: Volume, parameters: Setting) -> Volume:
        chosen = [
            replace(stage, values={name: [getattr(parameters, name)] for name in stage.values})
            for stage in self._stages
        ]
        ((_, result),) = _walk(chosen, prediction, {})
        return result.volume() if isinstance(result, LookupSegmentation) else result

    def blockwise(self, parameters: Setting) -> Blockwise:
        return super().blockwise(parameters) if not self._blockwise else self._blockwise(parameters)

    def process_all(
        self, prediction: Volume
    ) -> Iterator[tuple[Setting, Volume | LookupSegmentation]]:
        return _walk(self._stages, prediction, {})


def _walk(
    stages: Sequence[Stage], before: Any, setting: Values
) -> Iterator[tuple[Setting, Volume | LookupSegmentation]]:
    if not stages:
        yield Setting(**setting), before
        return
    yield from stages[0].results(
        before, lambda values, result: _walk(stages[1:], result, {**setting, **values})
    )


@dataclass(kw_only=True)
class PostProcessorConfig(Config, ABC):
    """How a prediction becomes a segmentation; all combinations of listed values are tried."""

    min_size: list[int] = ranged([0], low=0)
    """Segments with fewer voxels are removed; all values are tried."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, values in vars(self).items():
            if isinstance(values, list):
                key = f"{self.config_key()}.{name}"
                if not values:
                    raise InputError(f"{key} is empty: give at least one value to try")
                if len(set(values)) < len(values):
                    raise InputError(f"{key}={values} contains a value twice")
