"""The configuration: what wins, what is refused and with which words, what identifies a run."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mindleak import settings as config
from mindleak.errors import InputError
from mindleak.settings.schema import SCHEMA
from paths import ROOT

DEFAULTS = SCHEMA.defaults

CONFIGS = ROOT / "configs"


def write(folder: Path, text: str, name: str = "recipe.yaml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def refusal(path: str | None, *assignments: str) -> str:
    with pytest.raises(InputError) as caught:
        config.load(path, assignments)
    return str(caught.value)


def test_defaults_then_file_then_command_line(tmp_path):
    path = write(tmp_path, "training: {epochs: 7, batch_size: 8}")
    merged = config.load(path, ["training.epochs=9"])
    assert (merged.training.epochs, merged.training.batch_size) == (9, 8)
    assert merged.training.optimizer == DEFAULTS["training"]["optimizer"]
    assert merged.name == "recipe"


def test_loading_leaves_the_defaults_alone(tmp_path):
    before = copy.deepcopy(DEFAULTS)
    merged = config.load(write(tmp_path, "subjects: {a: {training: {epochs: 3}}}"), ["training.epochs=9"])
    merged.training.epochs = 4
    merged.inversion.loss_weights.append(1)
    assert before == DEFAULTS


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "training:\n", "subjects:\n  a:\n    training:\n"])
def test_empty_files_and_headings_without_keys_change_nothing(tmp_path, text):
    merged = config.load(write(tmp_path, text))
    assert config.to_plain(merged.training) == DEFAULTS["training"]


def test_a_subject_sees_its_own_settings_over_the_common_ones(tmp_path):
    path = write(tmp_path, """
training: {epochs: 5, batch_size: 8}
subjects:
  one: {training: {epochs: 6}}
  two: {}
""")
    merged = config.load(path)
    assert [config.for_subject(merged, name).training.epochs for name in ("one", "two")] == [6, 5]
    assert config.for_subject(merged, "one").training.batch_size == 8


def test_the_command_line_wins_over_what_a_subject_sets_for_itself(tmp_path):
    path = write(tmp_path, "subjects: {one: {training: {epochs: 6}}, two: {training: {epochs: 7}}}")
    merged = config.load(path, ["training.epochs=1", "subjects.two.training.epochs=2"])
    assert [config.for_subject(merged, name).training.epochs for name in ("one", "two")] == [1, 2]


@pytest.mark.parametrize(("assignment", "parts"), [
    ("training.epoch=3", ["'training.epoch'", "on the command line", "did you mean 'training.epochs'"]),
    ("epochs=3", ["'epochs'", "did you mean 'training.epochs'"]),
    ("shadows=3", ["did you mean 'membership.shadows'"]),
    ("membership.document.epochs=3", ["'membership.document'", "it is called 'membership.rnn_tutorial'"]),
    ("trainig.epochs=3", ["'trainig'", "did you mean 'training'"]),
    ("zzzz=3", ["'zzzz'", "known: data, deletion,"]),
    ("membership.training.epoch=3", ["'membership.training.epoch' on", "did you mean 'membership.training.epochs'"]),
    ("subjects.one.judge.epochs=3", ["'subjects.one.judge'", "known: data, deletion, dp, estimator, inversion"]),
    ("subjects.one.training.epoch=3", ["'subjects.one.training.epoch' on", "mean 'subjects.one.training.epochs'"]),
    ("subjects.one.membership.suppress.mask_time=3", ["mean 'subjects.one.membership.suppress.mask_times'"]),
    ("training..epochs=3", ["'training.'"]),
    ("training.epochs.x=3", ["'training.epochs'", "a whole number"]),
])
def test_unknown_keys_name_the_nearest(assignment, parts):
    message = refusal(None, assignment)
    assert all(part in message for part in parts), message


def test_unknown_key_in_a_file_names_the_file(tmp_path):
    path = write(tmp_path, "training: {lerning_rate: 1}")
    message = refusal(path)
    assert path in message and "did you mean 'training.learning_rate'" in message


@pytest.mark.parametrize(("assignment", "right"), [
    ("training.epochs=three", "a whole number"),
    ("training.epochs=3.0", "a whole number"),
    ("training.epochs=true", "a whole number"),
    ("training.batch_size=", "a whole number"),
    ("training.learning_rate=fast", "a number"),
    ("training.learning_rate=no", "a number"),
    ("training.learning_rate=[0.1]", "a number"),
    ("training.optimizer=3", "text"),
    ("inversion.enabled=1", "true or false"),
    ("inversion.loss_weights=1", "a list"),
    ("inversion.loss_weights=[1, x, 2]", "a number"),
    ("suppress.layers=3", "text or a list"),
    ("data.image_size=2020-01-01", "a whole number"),
    ("membership.training.epochs=x", "a whole number"),
    ("subjects.one.membership.suppress.mask_times=x", "a whole number"),
    ("training=3", "a section"),
    ("subjects=[a]", "a section"),
    ("subjects.a=3", "a section"),
])
def test_wrong_types_say_what_is_right(assignment, right):
    message = refusal(None, assignment)
    assert f"'{assignment.partition('=')[0]}'" in message and f"expected {right}" in message


@pytest.mark.parametrize(("text", "value"), [("1e-3", 0.001), ("1", 1.0), ("0.5", 0.5), ("1E-3", 0.001)])
def test_numbers_that_yaml_takes_for_something_else(text, value):
    rate = config.load(None, [f"training.learning_rate={text}"]).training.learning_rate
    assert rate == value and isinstance(rate, float)


@pytest.mark.parametrize(("text", "words"), [
    ("training: [", "line 1"),
    ("a: b: c", "mapping values are not allowed"),
    ("- one\n- two", "not a list"),
    ("just words", "not a str"),
    ("seed: 1\nseed: 2", "line 2, column 1: the key 'seed' stands twice"),
    ("training:\n  epochs: 1\n  epochs: 2", "line 3, column 3: the key 'epochs' stands twice"),
    ("x: !!python/object/apply:os.system ['echo unsafe']", "could not determine a constructor"),
    ("x: !!python/name:os.system", "could not determine a constructor"),
    ("seed: 2020-13-45", "no valid YAML"),
    ("seed: 0x_", "no valid YAML"),
    ("seed: \x00", "no valid YAML"),
    ("? [a]\n: 1", "no valid YAML"),
    ("[" * 600, "no valid YAML"),
])
def test_broken_yaml_is_refused_in_one_line(tmp_path, capfd, text, words):
    message = refusal(write(tmp_path, text))
    assert words in message and "\n" not in message and "recipe.yaml" in message
    assert capfd.readouterr() == ("", "")


def test_files_that_cannot_be_read(tmp_path):
    assert "no such file" in refusal(str(tmp_path / "none.yaml"))
    assert "is a folder; expected a file" in refusal(str(tmp_path))
    (tmp_path / "latin.yaml").write_bytes("name: \xfc".encode("latin-1"))
    assert "UTF-8" in refusal(str(tmp_path / "latin.yaml"))


def test_merge_keys_may_be_overridden(tmp_path):
    path = write(tmp_path, """
subjects:
  one: &one {training: {epochs: 3}, model: {name: lenet5}}
  two: {<<: *one, training: {epochs: 4}}
""")
    merged = config.load(path)
    two = config.for_subject(merged, "two")
    assert (two.training.epochs, two.model.name) == (4, "lenet5")
    assert config.for_subject(merged, "one").training.epochs == 3


@pytest.mark.parametrize("assignment", ["training.epochs", "", "=3", "  =3", "training.epochs:3"])
def test_assignments_without_a_key_or_a_value(assignment):
    assert "--set takes key.path=value" in refusal(None, assignment)


def test_assignments_of_broken_yaml():
    assert "--set training.epochs: '[1' is no valid YAML value" in refusal(None, "training.epochs=[1")


def test_one_key_set_to_two_values_is_a_mistake():
    assert "sets 'seed' twice, to 1 and to 2" in refusal(None, "seed=1", "seed=2")
    assert "sets 'training.epochs' twice" in refusal(None, "training={epochs: 3}", "training.epochs=4")
    assert config.load(None, ["seed=1", "seed=1"]).seed == 1


def test_a_negative_seed_is_refused():
    assert "'seed' is -1" in refusal(None, "seed=-1")


@pytest.mark.parametrize("name", ["a/b", "..", "items", "a b", "-a", "a.b", "''"])
def test_subject_names_become_folders(tmp_path, name):
    assert "cannot be a name" in refusal(write(tmp_path, f"subjects: {{{name}: {{}}}}"))


@pytest.mark.parametrize("name", ["a/b", ".."])
def test_the_runs_name_becomes_a_folder(name):
    assert "fit for a folder" in refusal(None, f"name={name}")


def test_the_command_line_cannot_add_a_subject_by_a_slip(tmp_path):
    path = write(tmp_path, "subjects: {lenet5-ordinary: {}}")
    message = refusal(path, "subjects.lenet-ordinary.training.epochs=3")
    assert "'lenet-ordinary'" in message and "did you mean 'lenet5-ordinary'" in message
    assert list(config.load(None, ["subjects.mine.training.epochs=3"]).subjects) == ["mine"]


@pytest.mark.parametrize("key", ["name", "checkpoint", "members"])
def test_one_network_cannot_be_that_of_several_subjects(tmp_path, key):
    several = write(tmp_path, "subjects: {a: {}, b: {}}")
    assert f"set subjects.NAME.model.{key}" in refusal(several, f"model.{key}=x")
    one = write(tmp_path, "subjects: {a: {}}", "one.yaml")
    assert config.for_subject(config.load(one, [f"model.{key}=x"]), "a").model[key] == "x"


def test_identity_is_what_a_run_is_and_not_where_it_is_computed(tmp_path):
    path = write(tmp_path, "subjects: {a: {}, b: {data: {name: mnist}}}")
    here = config.identity(config.load(path))
    there = config.identity(config.load(path, ["data.dir=/elsewhere", "device.threads=7", "device.id=1", "name=x"]))
    assert here == there
    for change in ("seed=1", "training.epochs=11", "data.name=mnist", "subjects.a.training.epochs=3"):
        assert config.identity(config.load(path, [change])) != here, change


def test_identity_is_plain_and_survives_yaml():
    identity = config.identity(config.load(None))
    assert yaml.safe_load(yaml.safe_dump(identity)) == identity


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_the_recipes_of_the_house_are_valid(path):
    merged = config.load(str(path))
    for name in merged.subjects:
        config.for_subject(merged, name)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2), max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(DEFAULTS)) | st.text(max_size=8), VALUES, max_size=3))
def test_any_yaml_is_taken_or_refused(tmp_path_factory, values):
    path = write(tmp_path_factory.mktemp("any"), yaml.safe_dump(values))
    try:
        merged = config.load(path)
    except InputError:
        return
    config.identity(merged)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_assignment_is_taken_or_refused(text):
    try:
        config.load(None, [text])
    except InputError:
        return
