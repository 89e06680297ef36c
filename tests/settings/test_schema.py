"""What declares a key: the schema, ranges here and in the classes made of a section, key names, the reference."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Optional

import pytest

from command import assert_refused, call
from mindleak import settings as config
from mindleak.attacks.inversion.batched import BatchedInversion
from mindleak.attacks.membership.attack_models import ImprovedTraining
from mindleak.attacks.membership.class_models import AttackTraining
from mindleak.attacks.membership.reference_attack import RmiaSettings
from mindleak.attacks.membership.rnn_tutorial import RnnTutorialSettings
from mindleak.errors import InputError, Key, keys_renamed
from mindleak.settings import reference
from mindleak.settings.fields import Named, Section, Setting, named, nested, overrides, setting
from mindleak.settings.key_names import KeyNames
from mindleak.settings.schema import SCHEMA, SECTIONS, Schema
from mindleak.training.dp import DPSettings
from mindleak.training.pruning import PruneSettings
from mindleak.training.recipe import Recipe
from mindleak.training.suppress.settings import SuppressSettings
from paths import ROOT

PAGE = ROOT / "docs" / "configuration.md"


# --- a family of somebody else's ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inner(Section, of_run=False):
    """Something within the toy."""

    depth: int = setting(2, "how deep", least=1, most=9)


@dataclass(frozen=True)
class Toy(Section, per_subject=True):
    """Can a toy be broken?"""

    kind: str = setting("ball", "which toy", choices=("ball", "top"))
    size: Optional[float] = setting(None, "how large", above=0)
    names: list[str] = setting(["a"], "of the toys")
    place: str = setting("here", "where", of_run=False)
    inner: Inner = nested(Inner)
    training: dict[str, Any] = overrides("training", "how the toy's networks are trained")


@dataclass(frozen=True)
class Fair(Section):
    """Which toy is best?"""

    stalls: dict[str, Any] = named("variant", "toys to be compared")
    price: int = setting(3, "of each", per_variant=True)
    day: int = setting(1, "of all")


TOYS = Schema({**SECTIONS, "toy": Toy, "subjects": Named("subject", "networks by name"), "fair": Fair})


def test_a_family_brings_its_section_along() -> None:
    given = ["toy.size=2", "toy.inner.depth=3", "subjects.one.toy.kind=top", "fair.stalls.a.fair.price=4",
             "toy.training.epochs=7"]
    merged = config.load(None, given, TOYS)
    assert (merged.toy.size, merged.toy.inner.depth, merged.toy.training) == (2.0, 3, {"epochs": 7})
    assert config.for_subject(merged, "one", TOYS).toy.kind == "top"
    identity = config.identity(merged, TOYS)
    assert identity["toy"] == {"kind": "ball", "size": 2.0, "names": ["a"], "training": {"epochs": 7}}
    assert list(identity)[-3:] == ["toy", "subjects", "fair"] and "membership" not in merged


@pytest.mark.parametrize(("assignment", "message"), [
    ("toy.kinds=top", "unknown key 'toy.kinds' on the command line; did you mean 'toy.kind'?"),
    ("toy.kind=tops", "toy.kind 'tops' is unknown; did you mean 'top'?"),
    ("toy.kind=dice", "toy.kind 'dice' is unknown; one of ball, top"),
    ("toy.size=0", "toy.size is 0.0; expected a finite number above 0"),
    ("toy.inner.depth=0", "toy.inner.depth is 0; expected at least 1"),
    ("toy.inner.depth=10", "'toy.inner.depth' on the command line is 10; expected at most 9"),
    ("subjects.one.toy.size=-1", "subjects.one.toy.size is -1.0; expected a finite number above 0"),
    ("toy.names=[a, 3]", "'toy.names' on the command line is 3; expected text"),
    ("toy.training.epoch=3", "unknown key 'toy.training.epoch' on the command line; did you mean "
                             "'toy.training.epochs'?"),
    ("toy.QWXQWXQWXQWX=1", "unknown key 'toy.QWXQWXQWXQWX' on the command line; known: inner, kind, names, place, "),
    ("fair.stalls.a.fair.day=2", "fair.stalls.a.fair.day: a variant sets none of 'fair' for itself but price"),
    ("fair.stalls.a.toy.size=2", "unknown key 'fair.stalls.a.toy' on the command line"),
    ("membership.shadows=3", "unknown key 'membership' on the command line"),
    ("suppress.engine=mindarmour", "suppress.engine has no effect unless training.method=suppress, which here is"),
])
def test_what_a_family_declares_is_checked(assignment: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        config.load(None, [assignment], TOYS)
    assert str(caught.value).startswith(message)


def test_a_family_that_may_set_the_training_again_may_be_trained_in_another_way() -> None:
    merged = config.load(None, ["toy.training.method=prune", "prune.sparsity=0.5"], TOYS)
    assert merged.prune.sparsity == 0.5


# --- ranges stand once, or are the same ---------------------------------------------------------------------------


LIBRARY = {
    "training": (Recipe, {}), "suppress": (SuppressSettings, {}), "prune": (PruneSettings, {"finetune_epochs": 1}),
    "dp": (DPSettings, {"noise_multiplier": 1.0}), "membership.rmia": (RmiaSettings, {}),
    "membership.attack": (AttackTraining, {}), "membership.improved": (ImprovedTraining, {}),
    "membership.rnn_tutorial": (RnnTutorialSettings, {}), "inversion": (BatchedInversion, {"layer": "fc1"}),
}
BOUNDED = [(path, field.name) for path, (made, _) in LIBRARY.items() for field in fields(made)
           if isinstance(declared := SCHEMA.declared.get(f"{path}.{field.name}"), Setting)
           and (declared.least, declared.above) != (None, None)]


def beyond(declared: Setting) -> float:
    """The largest number below a key's range."""
    return declared.least - 1 if declared.least is not None else declared.above


@pytest.mark.parametrize(("path", "key"), BOUNDED)
def test_the_classes_made_of_a_section_refuse_what_it_does(path: str, key: str) -> None:
    declared = SCHEMA.declared[f"{path}.{key}"]
    made, given = LIBRARY[path]
    others = {} if key != "target_epsilon" else {"noise_multiplier": None}
    with pytest.raises(InputError, match=rf"^{path}\.{key} is "):
        made(**{**given, **others, key: beyond(declared)})
    if declared.least is not None:
        assert is_dataclass(made(**{**given, key: declared.least}))


def test_most_keys_with_a_range_are_tried() -> None:
    assert len(BOUNDED) > 35
    assert {path for path, _ in BOUNDED} == set(LIBRARY)


@pytest.mark.parametrize(("path", "made"), [(path, made) for path, (made, _) in LIBRARY.items()
                                            if path not in ("training", "inversion")])
def test_defaults_are_those_of_the_classes_made_of_a_section(path: str, made: Any) -> None:
    for field in fields(made):
        default = SCHEMA.settings[f"{path}.{field.name}"].default
        assert (tuple(default) if isinstance(default, list) else default) == field.default, field.name


# --- keys in messages ---------------------------------------------------------------------------------------------


def test_a_key_in_a_message_is_renamed_and_what_only_looks_like_one_is_not() -> None:
    error = InputError(Key("training.epochs"), " is 0, not training.epochs; see ", Key("dp.delta"))
    assert str(error) == "training.epochs is 0, not training.epochs; see dp.delta"
    assert error.fields == ["training.epochs", "dp.delta"]
    with pytest.raises(InputError) as caught, keys_renamed(str.upper), keys_renamed(lambda key: f"x.{key}"):
        raise error
    # The inner renaming has said what the keys are; nothing is left for the outer one.
    assert str(caught.value) == "x.training.epochs is 0, not training.epochs; see x.dp.delta"
    assert caught.value.fields == []


@pytest.mark.parametrize(("section", "key", "full"), [
    ("", "training.epochs", "subjects.a.training.epochs"),
    ("", "training.momentum", "training.momentum"),
    ("membership", "training.epochs", "subjects.a.training.epochs"),
    ("membership", "training.batch_size", "membership.training.batch_size"),
    ("membership", "suppress.layers", "subjects.a.membership.suppress.layers"),
    ("judge", "training.epochs", "judge.epochs"),
    ("judge", "training.schedule", "training.schedule"),
])
def test_a_key_is_named_where_it_is_set(section: str, key: str, full: str) -> None:
    merged = config.load(None, ["subjects.a.training.epochs=3", "membership.training.batch_size=8",
                                "subjects.a.training.method=suppress", "subjects.a.membership.suppress.layers=[b]"])
    names = KeyNames(config.for_subject(merged, "a"), "subjects.a", merged.subjects["a"], section)
    assert names.full(Key(key)) == full


def test_an_error_that_names_no_key_is_about_the_judges_model() -> None:
    names = KeyNames(config.load(None), "subjects.a", {}, "judge", "judge.model")
    for error, message in ((InputError("no such model"), "judge.model: no such model"),
                           (InputError(Key("training.epochs"), " is 0"), "judge.epochs is 0")):
        with pytest.raises(InputError) as caught, names.in_messages():
            raise error
        assert str(caught.value) == message


# --- the reference ------------------------------------------------------------------------------------------------


def test_the_page_of_all_keys_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == f"{reference.page()}\n", \
        "mindleak config --markdown > docs/configuration.md"


def test_the_reference_has_every_key_with_a_line_of_help_in_80_columns(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = call(capfd, "config")
    assert outcome.code == 0 and max(map(len, outcome.out.splitlines())) <= 80
    rows = {f"{group.path}.{key}".lstrip(".") for group in reference.groups() for key, *_ in group.rows}
    assert rows >= set(SCHEMA.settings) and all(declared.help for declared in SCHEMA.settings.values())
    assert all(f"\n  {path.rpartition('.')[2]} " in outcome.out for path in SCHEMA.settings)


@pytest.mark.parametrize(("key", "parts", "absent"), [
    ("training.epochs", ["training\n", "  epochs ", "null  (a whole number, 1 ≤ epochs ≤ 10,000,000, or null)"],
     ["momentum", "judge"]),
    ("membership", ["membership\n", "\nmembership.rmia\n", "gamma", "keys of training"], ["judge", "(outside"]),
    ("membership.training.momentum", ["momentum", "0 ≤ momentum < 1"], ["epochs"]),
    ("subjects.NAME.training.momentum", ["momentum", "0 ≤ momentum < 1"], ["epochs"]),
    ("seed", ["seed", "from 0 on"], ["training"]),
])
def test_one_key_or_section_is_shown_alone(capfd: pytest.CaptureFixture[str], key: str, parts: list[str],
                                           absent: list[str]) -> None:
    out = call(capfd, "config", key).out
    assert all(part in out for part in parts) and not any(part in out for part in absent), out


@pytest.mark.parametrize(("key", "part"), [
    ("trainig", "unknown key 'trainig'; did you mean 'training'?"),
    ("training.epoch", "did you mean 'training.epochs'?"), ("epochs", "did you mean 'training.epochs'?"),
    ("subjects.a.judge", "unknown key 'subjects.a.judge'"), ("training.epochs.x", "unknown key 'training.epochs.x'"),
    ("zzzz", "known: data, deletion,"), ("training.", "unknown key 'training.'"), ("", "unknown key ''"),
])
def test_an_unknown_key_is_refused_with_the_nearest(capfd: pytest.CaptureFixture[str], key: str, part: str) -> None:
    assert_refused(call(capfd, "config", key), part)


def test_the_reference_is_there_without_numpy_and_mindspore() -> None:
    code = ("import sys\nfrom mindleak.cli import main\nassert main(['config']) == 0\n"
            "print(sorted({'numpy', 'mindspore', 'scipy'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
