from __future__ import annotations

import torch

from dacapo.ops.weights import balance


def test_by_hand() -> None:
    target = torch.tensor([[[1, 0, 0, 0, 1]]])
    known = torch.tensor([[[1, 1, 1, 1, 0]]])
    weight = balance(target, known)[0, 0]
    assert torch.allclose(weight, torch.tensor([2.0, 2 / 3, 2 / 3, 2 / 3, 0.0]))
    assert weight.sum() / 4 == 1


def test_one_class_alone_weighs_1() -> None:
    assert balance(torch.ones(1, 1, 3), torch.ones(1, 1, 3)).tolist() == [[[1, 1, 1]]]


def test_nothing_known_weighs_nothing() -> None:
    assert balance(torch.ones(1, 2, 3), torch.zeros(1, 2, 3)).sum() == 0


def test_each_channel_of_each_sample_by_itself() -> None:
    target = torch.tensor([[[1, 0, 0, 0], [1, 1, 0, 0]]])
    weight = balance(target, torch.ones_like(target))
    assert weight[0, 0].tolist() != weight[0, 1].tolist()
    assert weight[0, 1].tolist() == [1, 1, 1, 1]


def test_at_most() -> None:
    target = torch.zeros(1, 1, 1000)
    target[..., 0] = 1
    assert balance(target, torch.ones_like(target), max_weight=20.0).max() == 20
