from __future__ import annotations

from dacapo.ops.draws import generator, seed


def test_a_pure_function_of_the_key() -> None:
    assert generator(1, 2, "crop").random() == generator(1, 2, "crop").random()
    keys = [(1, 2, "crop"), (1, 3, "crop"), (2, 2, "crop"), (1, 2, "noise"), (1, 2)]
    assert len({generator(*k).random() for k in keys}) == len(keys)
    assert len({seed(*k) for k in keys}) == len(keys)
    assert 0 <= seed(1) < 2**63
