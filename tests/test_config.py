import json

import pytest

from feilun.config import (
    DemoSettings,
    ModelShape,
    PreferSettings,
    PretrainSettings,
    Recipe,
    TurnSettings,
    apply_settings,
    load_recipe,
    rebuild,
    resolved,
)
from feilun.types import UserError


def test_set_changes_the_named_field_alone():
    before = PretrainSettings()
    after = apply_settings(before, ["depth=6", "budget_seconds=1.5", "corpus=zh=all", "optimiser.matrix_lr=1e-3", "num_steps=-1"])
    assert (after.depth, after.budget_seconds, after.corpus, after.optimiser.matrix_lr, after.num_steps) == (6, 1.5, "zh=all", 1e-3, -1)
    assert after.optimiser.other_lr == before.optimiser.other_lr
    assert before == PretrainSettings()


def test_set_keeps_the_type_of_the_field():
    made = apply_settings(PreferSettings(), ["replay_without=number_hard,number_near", "beta=1"])
    assert made.replay_without == ("number_hard", "number_near")
    assert isinstance(made.beta, float)
    assert apply_settings(made, ["replay_without="]).replay_without == ()
    shape = ModelShape(vocab_size=64, width=64, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=64, ffn_width=64)
    assert apply_settings(shape, ["qk_norm=False"]).qk_norm is False


def test_set_reaches_through_two_groups():
    assert apply_settings(Recipe(), ["turn.prefer.optimiser.momentum=0.5"]).turn.prefer.optimiser.momentum == 0.5


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("dept=4", "unknown setting 'dept' .did you mean 'depth'..; allowed here"),
        ("optimiser.matrix_rl=1", "did you mean 'matrix_lr'"),
        ("zzzzzz=4", "unknown setting 'zzzzzz'; allowed here: num_steps, budget_seconds"),
        ("depth", "no '='"),
        ("depth=4.5", "depth='4.5' is not a whole number"),
        ("budget_seconds=soon", "budget_seconds='soon' is not a number"),
        ("optimiser=fast", "set one of its fields"),
        ("depth.x=1", "'depth' has no fields"),
        ("=1", "unknown setting ''"),
    ],
)
def test_a_bad_assignment_is_an_error(assignment, said):
    with pytest.raises(UserError, match=said):
        apply_settings(PretrainSettings(), [assignment])


def test_true_and_false_are_the_words_for_a_switch():
    shape = ModelShape(vocab_size=64, width=64, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=64, ffn_width=64)
    with pytest.raises(UserError, match="allowed are true and false"):
        apply_settings(shape, ["qk_norm=yes"])


@pytest.mark.parametrize(
    ("change", "said"), [("num_kv_heads=3", "must be a multiple of num_kv_heads=3"), ("vocab_size=100", "multiple of 64")]
)
def test_a_shape_that_cannot_be_is_an_error(change, said):
    shape = ModelShape(vocab_size=64, width=64, num_layers=1, num_heads=4, num_kv_heads=2, head_dim=64, ffn_width=64)
    with pytest.raises(UserError, match=said):
        apply_settings(shape, [change])


@pytest.mark.parametrize("settings", [Recipe(), TurnSettings(), DemoSettings(), PreferSettings(replay_without=("a", "b"))])
def test_settings_survive_json(settings):
    assert rebuild(type(settings), json.loads(json.dumps(resolved(settings)))) == settings


def test_rebuild_refuses_a_field_it_does_not_know():
    with pytest.raises(UserError, match="DemoSettings has no field 'speed'"):
        rebuild(DemoSettings, {"speed": 9})


def test_every_built_in_recipe_loads_and_survives_json():
    for name in ("default", "demo"):
        assert rebuild(Recipe, resolved(load_recipe(name))) == load_recipe(name)


def test_a_recipe_may_be_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from feilun.config import PretrainSettings, Recipe\ndef recipe():\n    return Recipe(pretrain=PretrainSettings(depth=9))\n"
    )
    assert load_recipe(str(path)).pretrain.depth == 9


@pytest.mark.parametrize("text", ["", "def recipe():\n    return 3\n"])
def test_a_file_that_makes_no_recipe_is_an_error(tmp_path, text):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError, match=r"must define recipe\(\)"):
        load_recipe(str(path))


@pytest.mark.parametrize("name", ["nowhere", "nowhere.py"])
def test_an_unknown_recipe_is_an_error_that_lists_what_there_is(name):
    with pytest.raises(UserError, match=r"built in: .*default"):
        load_recipe(name)
