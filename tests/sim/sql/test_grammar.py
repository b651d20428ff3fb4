"""The grammar: what it draws is SQL that plain SQLite takes, mostly without an error, and changes rows."""

from __future__ import annotations

from random import Random

from sim.sql.deeds import Deed, Said
from sim.sql.grammar import KINDS, Grammar
from sim.sql.model import Model, dump
from sim.sql.shapes import SHAPES, with_needs


def deed_of(grammar: Grammar, script: object) -> Deed:
    deed = Deed(number=1, client=0, node="n0.1", script=script, pragmas=(), applied=0, settled=0)  # type: ignore[arg-type]
    deed.said = [Said(statement) for statement in deed.script.statements]
    return deed


def test_most_of_it_is_right_and_some_of_it_changes_rows() -> None:
    grammar = Grammar(Random(1), dict.fromkeys(KINDS, 1))
    model = Model()
    for shape in SHAPES:
        script = grammar.setup(shape)
        assert [answer.error for answer in model.run(deed_of(grammar, script), whole=True) if answer.error] == []
        script.on_success()
    answers, changed, before = [], 0, dump(model.db)
    for _ in range(400):
        script = grammar.draw()
        found = model.run(deed_of(grammar, script), whole=True)
        answers += found
        if not any(answer.error for answer in found):
            script.on_success()
        now = dump(model.db)
        changed, before = changed + bool(now.differs(before)), now
    model.close()
    assert changed > 100
    assert sum(bool(answer.error) for answer in answers) < len(answers) / 3


def test_what_a_shape_refers_to_comes_before_it() -> None:
    names = [shape.name for shape in with_needs(("grandchild", "watched"))]
    assert names == ["parent", "child", "grandchild", "trail", "watched"]


def test_the_same_draws_give_the_same_scripts() -> None:
    texts = []
    for _ in range(2):
        grammar = Grammar(Random(7), dict.fromkeys(KINDS, 1))
        for shape in SHAPES:
            grammar.setup(shape).on_success()
        texts.append([grammar.draw().statements for _ in range(50)])
    assert repr(texts[0]) == repr(texts[1])
