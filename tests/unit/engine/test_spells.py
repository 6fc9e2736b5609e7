"""What comes again and again is one spell."""

from streams.engine.spells import QUIET_MS, Spell


def test_a_spell_is_said_once_for_each_it_is_about() -> None:
    spell = Spell()
    assert spell.add(["1"], 1_000) == ["1"]
    assert [spell.add(["1"], 1_000 + n * 50) for n in range(600)] == [[]] * 600
    assert spell.add(["1", "2"], 31_000) == ["2"]
    assert spell.look(31_000) == (2, 30_000)


def test_it_is_over_when_it_has_been_quiet_and_then_begins_anew() -> None:
    spell = Spell()
    assert spell.look(0) is None
    spell.add(["1"], 1_000)
    assert spell.look(1_000 + QUIET_MS - 1) == (1, QUIET_MS - 1)
    assert spell.look(1_000 + QUIET_MS) is None
    assert spell.add(["1"], 1_000 + QUIET_MS) == ["1"]
    assert spell.look(1_000 + QUIET_MS) == (1, 0)
