from __future__ import annotations

import torch
from torch import Tensor, nn

from dacapo.nn.running_statistics import RunningStatistics
from dacapo.processes.ranks import SINGLE_PROCESS


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)
    )


def step(
    net: nn.Module, statistics: RunningStatistics, parts: list[Tensor], iteration: int = 0,
    finite: bool = True,
) -> None:  # fmt: skip
    statistics.train()
    statistics.begin_step()
    for part in parts:
        net(part)
        statistics.add_micro_batch()
    statistics.end_step(SINGLE_PROCESS, len(parts), iteration, torch.tensor(finite))


def buffers(net: nn.Module) -> dict[str, Tensor]:
    return {k: b.clone() for k, b in net.named_buffers()}


def statistics_of(part: Tensor) -> dict[str, Tensor]:
    """The mean and the variance of the first layer's output, by hand."""
    out = network()[0](part).detach().transpose(0, 1).flatten(1)
    return {"1.running_mean": out.mean(1), "1.running_var": out.var(1)}


def test_running_statistics_are_an_average_over_steps_of_the_mean_of_micro_batches() -> None:
    net = network()
    expected = {k: v for k, v in buffers(net).items() if k in statistics_of(torch.ones(1, 1, 8, 8))}
    statistics = RunningStatistics(net)
    for iteration in (0, 1, 500, 5000):
        parts = [torch.randn(2, 1, 8, 8) + shift for shift in range(3)]
        step(net, statistics, parts, iteration)
        rate = max(0.01, 9 / (10 + iteration))
        for key, value in expected.items():
            mean = sum(statistics_of(part)[key] for part in parts) / 3
            expected[key] = (1 - rate) * value + rate * mean
            torch.testing.assert_close(buffers(net)[key], expected[key])
    assert net[1].num_batches_tracked == 4


def test_the_order_of_micro_batches_does_not_matter() -> None:
    parts = [torch.randn(2, 1, 8, 8) + shift for shift in range(3)]
    one, other = network(), network()
    step(one, RunningStatistics(one), parts)
    step(other, RunningStatistics(other), parts[::-1])
    for key, value in buffers(one).items():
        torch.testing.assert_close(value, buffers(other)[key])


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    net = network()
    statistics = RunningStatistics(net)
    step(net, statistics, [torch.randn(2, 1, 8, 8)])
    before = buffers(net)
    for parts in ([torch.full((2, 1, 8, 8), torch.nan)], [torch.randn(2, 1, 8, 8)] * 2):
        step(net, statistics, parts, finite=False)
        assert all(torch.equal(v, before[k]) for k, v in buffers(net).items())


def test_what_is_frozen_does_not_move() -> None:
    net = network()
    assert isinstance(net[1], nn.BatchNorm2d)
    net[1].requires_grad_(False)
    before = buffers(net)
    step(net, RunningStatistics(net), [torch.randn(2, 1, 8, 8)] * 2)
    moved = {k for k, v in buffers(net).items() if not torch.equal(v, before[k])}
    assert moved == {"4.running_mean", "4.running_var", "4.num_batches_tracked"}


def test_looking_changes_nothing() -> None:
    net = network().train()
    statistics, before = RunningStatistics(net), buffers(net)
    with statistics.unchanged():
        net(torch.randn(2, 1, 8, 8))
        assert not torch.equal(buffers(net)["1.running_mean"], before["1.running_mean"])
    assert all(torch.equal(v, before[k]) for k, v in buffers(net).items())


def test_instance_norm_may_have_statistics() -> None:
    net = nn.InstanceNorm2d(1, track_running_stats=True)
    statistics, before = RunningStatistics(net), buffers(net)
    step(net, statistics, [torch.randn(2, 1, 4, 4)], finite=False)
    assert all(torch.equal(v, before[k]) for k, v in buffers(net).items())
    step(net, statistics, [torch.full((2, 1, 4, 4), 2.0)])
    torch.testing.assert_close(net.running_mean, torch.tensor([0.9 * 2.0]))


def test_networks_without_statistics() -> None:
    for net in (nn.Conv2d(1, 1, 1), nn.InstanceNorm2d(1), nn.BatchNorm2d(1, affine=False)):
        statistics = RunningStatistics(net)
        step(net, statistics, [torch.randn(2, 1, 4, 4)] * 2)
        with statistics.unchanged():
            net(torch.randn(2, 1, 4, 4))
