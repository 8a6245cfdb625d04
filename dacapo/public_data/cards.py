"""Cards of public annotated volumes: address, checksum, licence, citation, voxel size, use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from dacapo.errors import InputError, did_you_mean

_FILE = Path(__file__).parent / "cards.yaml"


@dataclass(frozen=True)
class Card:
    """A public data set of one file.

    Attributes:
        title: what it shows.
        kind: what its labels are.
        url: address of the file.
        checksum: algorithm:digits, as a public record states it.
        record: where address and checksum are stated.
        file: name of the file on the disk.
        volumes: raw and labels as datasplit.raw and datasplit.gt name them, below the folder; files
            of an archive by their paths in it.
        voxel_size: in nm, per axis (z, y, x); None: the record does not state it.
        licence: None: the record does not state it.
        citation: what to cite.
        split: what the authors, or those who use it, train and test on.
        arguments: what `dacapo.new` needs besides.
        notes: what to know before using it.
    """

    title: str
    kind: str
    url: str
    checksum: str
    record: str
    file: str
    citation: str
    volumes: dict[str, str] = field(default_factory=dict)
    voxel_size: list[float] | None = None
    licence: str | None = None
    split: str = ""
    arguments: str = ""
    notes: str = ""


@cache
def cards() -> Mapping[str, Card]:
    """Name -> card."""
    plain = yaml.safe_load(_FILE.read_text())
    return {name: Card(**fields) for name, fields in plain.items()}


def card(name: str) -> Card:
    """The card of this name.

    Raises:
        InputError: there is none.
    """
    if name not in cards():
        raise InputError(
            f"name={name}: there is no such data set{did_you_mean(name, cards())}\n"
            f"  choose from {', '.join(cards())}"
        )
    return cards()[name]
