"""Whether a machine is fit to measure on, and what of it a user accepts."""

from __future__ import annotations

from dataclasses import asdict

from analyzer.gate import guard
from analyzer.gate.values import Block, Side
from analyzer.measure.environment import WARNING, Check

BUSY = {"uuid": "GPU-1", "name": "H200", "total_bytes": 1}
SLOW = asdict(Check("governor", "powersave", WARNING, "the governor is 'powersave'"))


def block(*remarks: str) -> Block:
    return Block(side=Side.CANDIDATE, pair=0, launch=0, values={}, remarks=remarks)


def test_this_machine_is_described_with_the_flags_of_its_servers() -> None:
    machine = guard.look(("--cache-config=local,size=1000",))
    assert machine["cores"] >= 1
    assert machine["flags"] == ["--cache-config=local,size=1000"]


def test_what_is_unfit_taints_unless_it_is_accepted() -> None:
    machine = {"environment": [SLOW]}
    blocks = [block("other programs used 1 of 2 cores"), block()]
    assert len(guard.tainted(machine, blocks, ())) == 2
    assert guard.tainted(machine, blocks, {"governor", "disturbed"}) == ()
    assert guard.tainted(machine, blocks, {"all"}) == ()
    (left,) = guard.tainted(machine, blocks, {"disturbed"})
    assert "powersave" in left


def test_a_gpu_that_somebody_else_is_on_is_told() -> None:
    machine = {"gpus": [BUSY]}
    idle = {"gpu_utilization": 0.0, "gpu_used_memory": 500.0, "gpu_free_memory": 80_000.0}
    assert not list(guard.in_use(machine, {"GPU-1": idle}))
    (computing,) = guard.in_use(machine, {"GPU-1": {**idle, "gpu_utilization": 40.0}})
    assert (computing.check, computing.level) == ("gpu", WARNING)
    assert "H200 (GPU-1) was 40% busy" in computing.text
    (taken,) = guard.in_use(machine, {"GPU-1": {**idle, "gpu_used_memory": 20_000.0}})
    assert "20000 MB" in taken.text
