from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hydra.errors import ConfigCompositionException
from monai.losses import DiceLoss, FocalLoss, TverskyLoss
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, l1_loss, mse_loss

from dacapo.errors import InputError
from dacapo.experiments.tasks.losses import (
    ActivatedLoss,
    ClassLoss,
    CombinedLoss,
    Loss,
    MaskLoss,
    ProbabilityLoss,
    RegressionLoss,
)
from dacapo.experiments.tasks.losses.terms import cldice, skeleton_recall, tversky, weighted_mean
from dacapo.ops.skeletons import skeleton_tube, soft_skeleton
from tests.conftest import small_run_config

TERMS = ["cross_entropy", "dice", "tversky", "focal"]
THIN = ["cldice", "skeleton_recall"]


def only(term: str, exclusive: bool = False) -> MaskLoss:
    kind = ClassLoss if exclusive else MaskLoss
    return kind(**{t: float(t == term) for t in [*TERMS, *THIN]})


LOSSES: dict[str, Loss] = {
    **{f"{t} of channels": only(t) for t in [*TERMS, *THIN]},
    **{f"{t} of classes": only(t, exclusive=True) for t in [*TERMS, *THIN]},
    "all": ProbabilityLoss(cross_entropy=1, dice=1, tversky=1, focal=1),
    "squares": ActivatedLoss(RegressionLoss(), nn.Tanh()),
    "absolute": ActivatedLoss(RegressionLoss(mse=0, l1=1), nn.Sigmoid()),
    "combined": CombinedLoss(
        [(2, 1.0, only("dice")), (1, 0.5, ActivatedLoss(RegressionLoss(), nn.Tanh()))]
    ),
}


def example(exclusive: bool = False) -> tuple[Tensor, Tensor]:
    """Logits and a target of three channels."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, 6, generator=generator)
    if exclusive:
        classes = torch.randint(3, (2, 5, 6), generator=generator)
        return logits, nn.functional.one_hot(classes, 3).movedim(-1, 1).float()
    return logits, torch.rand(2, 3, 5, 6, generator=generator).round()


@pytest.mark.parametrize("name", LOSSES)
def test_weight_0_has_exactly_no_influence(name: str) -> None:
    logits, target = example("classes" in name)
    weight = torch.rand(2, 3, 5, 6)
    weight[..., 3:] = 0
    results = []
    for value in (None, float("inf"), float("nan")):
        prediction, other = logits.clone(), target.clone()
        if value is not None:
            prediction[..., 3:] = value
            other[..., 3:] = 1 - other[..., 3:]
        prediction.requires_grad_()
        loss = LOSSES[name].compute(prediction, other, weight)
        loss.backward()
        assert prediction.grad is not None
        assert (prediction.grad[..., 3:] == 0).all()
        assert (prediction.grad[..., :3] != 0).any()
        results.append((loss.item(), prediction.grad[..., :3].clone()))
    for loss_value, gradient in results[1:]:
        assert loss_value == results[0][0]
        assert torch.equal(gradient, results[0][1])


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_known_is_0_and_moves_nothing(name: str) -> None:
    logits, target = example("classes" in name)
    logits.requires_grad_()
    loss = LOSSES[name].compute(logits, target, torch.zeros_like(target))
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


class TestAgainstOthers:
    def test_channels(self) -> None:
        logits, target = example()
        ones = torch.ones_like(target)
        expected = {
            "cross_entropy": binary_cross_entropy_with_logits(logits, target),
            "dice": DiceLoss(sigmoid=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5)(
                logits, target
            ),
            "tversky": TverskyLoss(
                sigmoid=True, batch=True, alpha=0.3, beta=0.7, smooth_nr=1e-5, smooth_dr=1e-5
            )(logits, target),
            "focal": FocalLoss(gamma=2.0)(logits, target),
        }
        for term, value in expected.items():
            ours = only(term).compute(logits, target, ones)
            assert ours.item() == pytest.approx(value.item(), rel=1e-5), term

    def test_classes(self) -> None:
        logits, target = example(exclusive=True)
        ones = torch.ones_like(target)
        plain = cross_entropy(logits, target.argmax(1))
        ours = only("cross_entropy", exclusive=True).compute(logits, target, ones)
        assert ours.item() == pytest.approx(plain.item(), rel=1e-6)
        dice = DiceLoss(softmax=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5)(logits, target)
        ours = only("dice", exclusive=True).compute(logits, target, ones)
        assert ours.item() == pytest.approx(dice.item(), rel=1e-5)
        p = logits.softmax(1)[target != 0]
        focal = ((1 - p) ** 2 * -p.log()).mean()
        ours = only("focal", exclusive=True).compute(logits, target, ones)
        assert ours.item() == pytest.approx(focal.item(), rel=1e-5)

    def test_regression(self) -> None:
        logits, _ = example()
        target = torch.rand_like(logits)
        ones = torch.ones_like(target)
        ours = ActivatedLoss(RegressionLoss(mse=0.5, l1=2.0), nn.Tanh()).compute(
            logits, target, ones
        )
        expected = 0.5 * mse_loss(logits.tanh(), target) + 2 * l1_loss(logits.tanh(), target)
        assert ours.item() == pytest.approx(expected.item(), rel=1e-6)

    def test_a_voxel_of_weight_2_is_a_voxel_twice(self) -> None:
        for term in TERMS:
            for exclusive in (False, True):
                logits, target = example(exclusive)
                weight = torch.ones_like(target)
                weight[..., 0] = 2
                twice = [torch.cat([t, t[..., :1]], dim=-1) for t in (logits, target)]
                loss = only(term, exclusive)
                assert loss.compute(logits, target, weight).item() == pytest.approx(
                    loss.compute(*twice, torch.ones_like(twice[0])).item(), rel=1e-5
                )


class TestPartialAnnotation:
    """Channels: background and two classes; only the first class is annotated."""

    def test_what_may_be_true_is_summed(self) -> None:
        logits = torch.tensor([[[1.0], [2.0], [-1.0]]])
        target = torch.tensor([[[1.0], [0.0], [0.0]]])
        weight = torch.tensor([[[0.0], [1.0], [0.0]]])  # background or the second class
        p = logits.softmax(1)[0, :, 0]
        loss = only("cross_entropy", exclusive=True).compute(logits, target, weight)
        assert loss.item() == pytest.approx(-np.log((p[0] + p[2]).item()), rel=1e-6)

    def test_what_is_said_of_other_classes_does_not_matter(self) -> None:
        logits, _ = example(exclusive=True)
        weight = torch.zeros(2, 3, 5, 6)
        weight[:, 1] = 1
        for term in [*TERMS, *THIN]:
            values = []
            for channel in (0, 2):
                target = torch.zeros(2, 3, 5, 6)
                target[:, channel] = 1
                values.append(only(term, exclusive=True).compute(logits, target, weight).item())
            assert values[0] == values[1], term


class TestThinStructures:
    """A tube of 5 x 5 voxels, and what a network may make of it."""

    def target(self) -> Tensor:
        target = torch.zeros(1, 1, 13, 13, 24)
        target[:, :, 4:9, 4:9] = 1
        return target

    def costs(self, predicted: Tensor) -> dict[str, float]:
        ones = torch.ones_like(predicted)
        return {
            "cldice": cldice(predicted, self.target(), ones, 5).item(),
            "skeleton_recall": skeleton_recall(predicted, self.target(), ones, 1).item(),
            "dice": tversky(predicted, self.target(), ones, 0.5, 0.5).item(),
        }

    def test_a_broken_tube_costs_more_than_a_thinner_one(self) -> None:
        thinner, broken = torch.zeros_like(self.target()), self.target()
        thinner[:, :, 5:8, 5:8] = 1
        broken[..., 11:14] = 0
        cost_of_thinner, cost_of_broken = self.costs(thinner), self.costs(broken)
        assert cost_of_thinner["dice"] > 5 * cost_of_broken["dice"]
        for term in THIN:
            assert cost_of_broken[term] > 0.05, term
            assert cost_of_broken[term] > 5 * cost_of_thinner[term], term

    def test_the_target_costs_nothing(self) -> None:
        assert self.costs(self.target()) == pytest.approx({"cldice": 0, "skeleton_recall": 0,
                                                           "dice": 0}, abs=1e-5)  # fmt: skip

    def test_a_second_tube_costs_centre_line_dice(self) -> None:
        both = self.target()
        both[:, :, 0:3, 0:3] = 1
        costs = self.costs(both)
        assert costs["cldice"] > 0.2
        assert costs["skeleton_recall"] == pytest.approx(0, abs=1e-6)

    def test_by_the_formula(self) -> None:
        """Each skeleton in the other mask, with 1 added to numerator and denominator."""
        generator = torch.Generator().manual_seed(0)
        p = torch.rand(1, 1, 9, 9, generator=generator)
        t = torch.rand(1, 1, 9, 9, generator=generator).round()
        of_p, of_t = soft_skeleton(p, 3), soft_skeleton(t, 3)
        precision = ((of_p * t).sum() + 1) / (of_p.sum() + 1)
        recall = ((of_t * p).sum() + 1) / (of_t.sum() + 1)
        expected = 1 - 2 * precision * recall / (precision + recall)
        assert cldice(p, t, torch.ones_like(p), 3).item() == pytest.approx(expected.item())

    def test_weights_that_balance_do_not_count(self) -> None:
        predicted, weight = 0.3 + 0.4 * self.target(), 1 + 9 * self.target()
        for term, size in ((cldice, 5), (skeleton_recall, 1)):
            plain = term(predicted, self.target(), torch.ones_like(weight), size)
            assert term(predicted, self.target(), weight, size) == plain

    def test_affinities_are_not_masks(self) -> None:
        with pytest.raises(ConfigCompositionException, match=r"task\.loss\.cldice"):
            small_run_config("task.loss.cldice=1")

    def test_gradients_lead_to_the_centre_line(self) -> None:
        """Neither term asks for more, so another is needed for the rest of the mask."""
        line = skeleton_tube(self.target()[0, 0].numpy() > 0, 0)
        for term in THIN:
            logits = torch.zeros(1, 1, 13, 13, 24, requires_grad=True)
            optimizer = torch.optim.Adam([logits], lr=0.3)
            loss = MaskLoss(**{term: 1.0})
            for _ in range(60):
                optimizer.zero_grad()
                cost = loss.compute(logits, self.target(), torch.ones_like(logits))
                cost.backward()
                optimizer.step()
            assert cost < 0.02
            assert (logits[0, 0].detach().numpy()[line] > 0).all()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.loss.focal_gamma=-1", "task.loss.focal_gamma=-1.0 must be at least 0"),
        ("task.loss.dice=nan", "task.loss.dice=nan must be a finite number, at least 0"),
        ("task.loss.cross_entropy=0", "task.loss: cross_entropy, dice, tversky, focal are all 0"),
        ("task.lsd_loss.mse=0", "task.lsd_loss: mse, l1 are all 0"),
    ],
)
def test_values_that_train_nothing_are_refused(override: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        small_run_config(override)


def test_centre_lines_are_not_all_of_a_mask() -> None:
    with pytest.raises(InputError, match=r"task\.loss: cldice and skeleton_recall only look at"):
        MaskLoss(cross_entropy=0, cldice=1).check("task.loss")


def test_a_tversky_loss_needs_a_cost() -> None:
    with pytest.raises(InputError, match=r"task\.loss: tversky_alpha and tversky_beta are both 0"):
        small_run_config("task.loss.tversky_alpha=0", "task.loss.tversky_beta=0")


def test_by_hand() -> None:
    value = ProbabilityLoss().compute(
        torch.zeros(1, 1, 2), torch.ones(1, 1, 2), torch.tensor([[[1.0, 3.0]]])
    )
    assert value.item() == pytest.approx(np.log(2))


def test_parts_see_their_own_channels() -> None:
    prediction = torch.zeros(1, 3, 4, requires_grad=True)
    loss = CombinedLoss(
        [(1, 1.0, ProbabilityLoss()), (2, 3.0, ActivatedLoss(RegressionLoss(), nn.Sigmoid()))]
    )
    value = loss.compute(prediction, torch.ones(1, 3, 4), torch.ones(1, 3, 4))
    assert value.item() == pytest.approx(np.log(2) + 3 * 0.25)
    value.backward()
    assert prediction.grad is not None
    assert (prediction.grad != 0).all()


def test_certain_and_right_has_a_finite_gradient() -> None:
    for exclusive in (False, True):
        logits = torch.tensor([[[200.0], [-200.0]]], requires_grad=True)
        target = torch.tensor([[[1.0], [0.0]]])
        only("focal", exclusive).compute(logits, target, torch.ones(1, 2, 1)).backward()
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()


def test_nothing_known_has_mean_0() -> None:
    assert weighted_mean(torch.ones(3), torch.zeros(3)) == 0


def test_a_loss_with_a_term_of_its_own_alone() -> None:
    @dataclass(kw_only=True)
    class Own(MaskLoss):
        absolute: float = 1.0

        def factors(self) -> dict[str, float]:
            return super().factors() | {"absolute": self.absolute}

    Own(cross_entropy=0.0).check("task.loss")
    with pytest.raises(InputError, match=r"only look at centre lines, so one of .* absolute must"):
        Own(cross_entropy=0.0, absolute=0.0, cldice=1.0).check("task.loss")
