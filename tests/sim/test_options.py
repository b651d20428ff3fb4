"""Options: drawn from the seed alone, always within the limits' relations, and open to overrides by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.drawing import DISTURBANCES, MAIN_DISTURBANCES, PEER_DISTURBANCES, WORK_KINDS
from sim.nemesis import Nemesis
from sim.nemesis_links import Links
from sim.nemesis_members import Members
from sim.options import Options
from sim.sql.shapes import SHAPES
from sim.workload import Actor


@given(st.integers(0, 10**9))
def test_a_seed_draws_the_same_options_again(seed: int) -> None:
    options = Options.draw(seed)
    assert options == Options.draw(seed)
    assert options.mix["append"] > 0
    assert 0 <= options.session_clients <= options.clients


def test_swarm_leaves_faults_out_and_repeats_others() -> None:
    drawn = [Options.draw(seed) for seed in range(200)]
    for kind in (*MAIN_DISTURBANCES, *PEER_DISTURBANCES, "database_rot", "file_rot", "head_rot"):
        with_it = sum(kind in options.disturbances for options in drawn)
        assert 20 <= with_it <= 199, kind
    assert any(options.beyond_repair for options in drawn)
    assert sum(options.beyond_repair for options in drawn) < 60


def test_a_third_of_the_seeds_has_sql() -> None:
    drawn = [Options.draw(seed) for seed in range(300)]
    assert 70 <= sum(options.sql for options in drawn) <= 130
    assert 10 <= sum(options.sql_every_commit for options in drawn) <= 45
    assert all(options.sql for options in drawn if options.sql_every_commit or options.sql_raw_text)
    assert 15 <= sum(options.sql_raw_text for options in drawn) <= 60
    assert {name for options in drawn for name in options.sql_shapes} == {shape.name for shape in SHAPES}


def test_what_goes_on_beside_sql_and_typed_streams_is_in_any_combination() -> None:
    drawn = [Options.draw(seed) for seed in range(600)]
    for workload in ("sql", "events"):
        its = [options for options in drawn if getattr(options, workload)]
        assert sum(len(options.places.names) > 1 for options in its) >= len(its) / 5
        for beside in ("rotating", "erasing", "governance"):
            both = [options for options in its if getattr(options, beside)]
            assert len(both) >= len(its) / 10, (workload, beside)
            assert any(len(options.places.names) > 1 for options in both), (workload, beside)
    assert any(options.rotating and options.projection for options in drawn)
    assert any(options.rotating and options.erasing and options.sql for options in drawn)


def test_a_third_of_the_seeds_has_several_regions() -> None:
    several = sum(len(Options.draw(seed).places.names) > 1 for seed in range(300))
    assert 80 <= several <= 130


def test_overrides_reach_into_tables() -> None:
    options = Options.draw(1).override({"clients": 2, "limits": {"sessions_max": 5}, "disturbances": ["crash"]})
    assert (options.clients, options.limits.sessions_max, options.disturbances) == (2, 5, ("crash",))
    assert options.limits.wal_slots == Options.draw(1).limits.wal_slots


def test_unknown_override_is_refused() -> None:
    with pytest.raises(TypeError, match="cleints"):
        Options.draw(1).override({"cleints": 2})


def test_every_kind_has_its_act() -> None:
    nemesis = Nemesis.__new__(Nemesis)
    nemesis._links = Links.__new__(Links)
    nemesis.members = Members.__new__(Members)
    assert sorted(nemesis._acts()) == sorted(DISTURBANCES)
    assert all(hasattr(Actor, f"_{kind}") for kind in WORK_KINDS)
