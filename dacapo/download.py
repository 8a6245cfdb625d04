"""`python -m dacapo.download name=...`: a public annotated volume, with licence and citation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dacapo.cli import run_command
from dacapo.config import Config, config
from dacapo.errors import InputError
from dacapo.processes.files import check_writable, make_folder

if TYPE_CHECKING:
    from dacapo.public_data.cards import Card

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


@config(None)
@dataclass(kw_only=True)
class DownloadConfig(Config):
    """Download a public annotated volume and check it; without a name, list what there is."""

    name: str = ""
    """Which one."""
    output: str = "data"
    """Folder in which to put it."""
    card: bool = False
    """Only print what is known of it: address, checksum, licence, citation, voxel size."""


def main() -> None:
    """The command line."""
    run_command(DownloadConfig, download)


def download(options: DownloadConfig) -> None:
    """List, describe, or download and unpack."""
    from dacapo.public_data.cards import card
    from dacapo.public_data.fetch import fetch, unpack
    from dacapo.training.terminal import download_progress

    if not options.name:
        if options.card:
            raise InputError("card=true: give a name")
        _list()
        return
    chosen = card(options.name)
    _describe(options.name, chosen)
    if options.card:
        return
    folder = Path(options.output) / options.name
    check_writable(folder, "output")
    make_folder(folder)
    target = folder / chosen.file
    with download_progress(chosen.file) as progress:
        is_new = fetch(chosen.url, target, chosen.checksum, progress)
    print(f"{target}: {'complete, and' if is_new else 'was there already, and'} as its record says")
    if chosen.file.endswith(_ARCHIVES):
        unpack(target, folder / "files")
        folder /= "files"
    if {"raw", "labels"} <= chosen.volumes.keys():
        print("\n  " + " ".join(_next_command(options.name, chosen, folder)))


def _next_command(name: str, card: Card, folder: Path) -> list[str]:
    """How to plan a training on it."""
    words = [f"python -m dacapo.new project=my_{name}"]
    words += [f"{key}={folder / card.volumes[key]}" for key in ("raw", "labels")]
    if card.voxel_size is not None:
        words += [f"voxel_size=[{','.join(f'{v:g}' for v in card.voxel_size)}]", "unit=nm"]
    return [*words, card.arguments] if card.arguments else words


def _list() -> None:
    from dacapo.public_data.cards import cards
    from dacapo.training.terminal import print_table

    rows = [[name, card.kind, card.title] for name, card in cards().items()]
    print_table("Public volumes", ["name", "labels", "what it shows"], rows)
    print("python -m dacapo.download name=NAME downloads one; card=true describes it")


def _describe(name: str, card: Card) -> None:
    size = "not stated"
    if card.voxel_size is not None:
        size = "x".join(f"{v:g}" for v in card.voxel_size) + " nm"
    rows = {
        "labels": card.kind,
        "voxel size": size,
        "split": card.split or "not stated",
        "licence": card.licence or "not stated: ask its authors",
        "cite": card.citation,
        "address": card.url,
        "checksum": f"{card.checksum}, as stated in {card.record}",
        "note": card.notes,
    }
    print(f"{name}: {card.title}")
    for key, text in rows.items():
        if text:
            print(f"  {key + ':':12}{text}")
    print("  The address was not tried when this card was written.")


if __name__ == "__main__":
    main()
