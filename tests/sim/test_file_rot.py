"""Segments and checkpoints that rot on a running node are mended from the others, and nobody reads anything else."""

from __future__ import annotations

from sim.bugs.storage import _ROT
from sim.file_rot import FileRot
from sim.run import run_seed
from sim.simulation import Simulation


def test_what_rots_is_mended() -> None:
    found: list[Simulation] = []
    overrides = {**_ROT, "requests": 40, "clients": 2, "disturbances": ["file_rot"] * 4}
    result = run_seed(1, overrides=overrides, attach=found.append)
    assert result.ok, result.violation
    rot: FileRot = found[0].nemesis.file_rot
    assert rot._places
    assert rot.lag() == ""
    place = rot._places[-1]
    place.inode.flip_bit(place.offset, 0)
    if place.path in place.machine.disk.platter.names:
        assert rot.lag() == f"{place.path} of {place.machine.name} is still damaged at byte {place.offset}"
    assert FileRot(False, rot.random, rot.atlases, rot.watch, rot._places).lag() == ""
