"""A plan: the options of a training, each with the reason why it was chosen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dacapo.planning.device import Device
from dacapo.planning.fingerprint import Fingerprint

_GIVEN = "as given on the command line"


_ALTERNATIVES = {
    "affinities": "boundary", "affinities_lsds": "boundary", "affinities_2d": "boundary",
    "boundary": "distance", "distance": "boundary", "inner_distance": "boundary",
}  # fmt: skip


def counted(number: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "object"), counted(1200, "object")
    ('1 object', '1,200 objects')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def words_of_time(seconds: float) -> str:
    """A time that was given.

    >>> words_of_time(60), words_of_time(5400), words_of_time(5)
    ('1 minute', '90 minutes', '5 seconds')
    """
    unit, number = ("minute", seconds / 60) if seconds >= 60 else ("second", seconds)
    return f"{number:g} {unit}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class Choice:
    """An option that a plan sets.

    Attributes:
        key: as on the command line.
        value: plain data.
        reason: a sentence or two.
        source: where the rule comes from; empty if the reason says it all.
        is_group: the value is the name of an option, or a list of names.
    """

    key: str
    value: Any
    reason: str
    source: str = ""
    is_group: bool = False


@dataclass(frozen=True)
class Rule:
    """How an option is chosen.

    Attributes:
        key: as on the command line.
        choose: the value and the reason; None to leave the default.
        source: where the rule comes from.
    """

    key: str
    choose: Callable[[Plan], tuple[Any, str] | None]
    source: str = ""


@dataclass(frozen=True)
class Effort:
    """Factors of what is usual.

    Attributes:
        feature_maps: of the finest level.
        crop: voxels of the input.
    """

    feature_maps: float
    crop: float


@dataclass
class Plan:
    """The choices so far, and what they depend on.

    Attributes:
        found: what the data are like.
        device: what will train.
        budget: seconds that a run may take.
        given: key -> value that the user has chosen.
        groups: keys of which the value is the name of an option, or a list of names.
        effort: how much a step may cost.
        warnings: what users should check.
    """

    found: Fingerprint
    device: Device
    budget: float
    given: Mapping[str, Any]
    groups: Collection[str]
    effort: Effort = field(default_factory=lambda: Effort(1, 1))
    choices: dict[str, Choice] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def alternative(self) -> str | None:
        """Another task to compare with on the same data, if there is one."""
        return _ALTERNATIVES.get(self["task"])

    @property
    def kind(self) -> str:
        """cpu or gpu."""
        return "gpu" if self.device.is_gpu else "cpu"

    def apply(self, rules: Sequence[Rule]) -> None:
        """Choose by each rule in turn; what the user has chosen stays."""
        for rule in rules:
            if rule.key in self.given:
                self.set(rule.key, self.given[rule.key], _GIVEN)
            elif (chosen := rule.choose(self)) is not None:
                self.set(rule.key, *chosen, rule.source)
        for key, value in self.given.items():
            self.set(key, value, _GIVEN)

    def set(self, key: str, value: Any, reason: str, source: str = "") -> None:
        """Choose or replace a value."""
        self.choices[key] = Choice(key, value, reason, source, key in self.groups)

    def __getitem__(self, key: str) -> Any:
        return self.choices[key].value

    def get(self, key: str, default: Any = None) -> Any:
        """The chosen value, or the default."""
        return self.choices[key].value if key in self.choices else default
