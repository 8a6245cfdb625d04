"""The cards of public volumes, and the command that downloads one."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from dacapo.download import main
from dacapo.public_data import cards as module
from dacapo.public_data.cards import cards
from tests.public_data.test_fetch import CONTENT, SHA256, Server, server

__all__ = ["server"]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["dacapo.download", *arguments])
    main()


@pytest.mark.parametrize("name", cards())
def test_a_card_says_what_is_needed(name: str) -> None:
    card = cards()[name]
    assert card.url.startswith("https://")
    algorithm, _, digits = card.checksum.partition(":")
    assert len(digits) == 2 * hashlib.new(algorithm).digest_size
    assert int(digits, 16)
    assert {*card.volumes} == {"raw", "labels"}
    assert card.voxel_size is None or len(card.voxel_size) == 3
    assert card.kind in ("instances, dense", "instances, on background", "classes")
    assert card.citation
    assert card.record


def test_no_two_cards_share_a_file() -> None:
    for field in ("url", "checksum"):
        assert len({getattr(card, field) for card in cards().values()}) == len(cards())


def test_the_list_and_a_card(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch)
    assert "cremi_a" in capsys.readouterr().out
    call(monkeypatch, "name=cremi_a", "card=true")
    out = capsys.readouterr().out
    assert "licence:    not stated: ask its authors" in out
    assert "voxel size: 40x4x4 nm" in out
    assert "The address was not tried when this card was written." in out


def test_a_download(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    card = replace(cards()["cremi_a"], url=server.url, checksum=SHA256, file="v.h5",
                   volumes={"raw": "v.h5:raw", "labels": "v.h5:labels"})  # fmt: skip
    monkeypatch.setattr(module, "cards", lambda: {"tiny": card})
    call(monkeypatch, "name=tiny", f"output={tmp_path}")
    assert (tmp_path / "tiny" / "v.h5").read_bytes() == CONTENT
    out = capsys.readouterr().out
    assert f"raw={tmp_path}/tiny/v.h5:raw" in out
    assert "voxel_size=[40,4,4] unit=nm" in out
    call(monkeypatch, "name=tiny", f"output={tmp_path}")
    assert "was there already" in capsys.readouterr().out
    assert len(server.asked) == 1


def test_an_archive_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "zipped").mkdir()
    path = tmp_path / "zipped" / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images/raw.tif", b"1")
    digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    card = replace(cards()["snemi3d"], url="https://localhost/a.zip", checksum=digest, file="a.zip")
    monkeypatch.setattr(module, "cards", lambda: {"zipped": card})
    call(monkeypatch, "name=zipped", f"output={tmp_path}")  # put there by hand
    assert (tmp_path / "zipped" / "files" / "images" / "raw.tif").exists()
    assert "zipped/files/image/train-input.tif" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["name=cremi"], "there is no such data set; did you mean cremi_"),
        (["card=true"], "card=true: give a name"),
        (["name=cremi_a", "output=/proc/nothing"], "you may not write|not a folder|No such"),
    ],
)
def test_mistakes(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        call(monkeypatch, *arguments)
    error = capsys.readouterr().err
    assert any(part in error for part in message.split("|")), error
    assert "Traceback" not in error
