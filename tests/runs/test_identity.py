"""Which configurations are one run's: keys that one side does not know make no other run, values that differ do."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindleak import settings as configuration
from mindleak.errors import InputError
from mindleak.runs.identity import require_same
from mindleak.settings import load
from mindleak.settings.schema import SCHEMA

KNOWN: dict[str, Any] = {
    "seed": 0,
    "name": "plain",
    "data": {"name": "mnist"},
    "training": {"epochs": None, "rate": 0.1},
    "membership": {"shadows": 4, "training": {}},
    "subjects": {},
    "sweep": {"models": 4, "variants": {}},
}
RUN = Path("run")


def with_values(config: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The configuration with keys written ``a__b``, set or, as ..., taken away."""
    config = copy.deepcopy(config)
    for key, value in values.items():
        *parents, last = key.split("__")
        section = config
        for parent in parents:
            section = section.setdefault(parent, {})
        if value is ...:
            del section[last]
        else:
            section[last] = value
    return config


def forgotten(there: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return require_same(RUN, there, now, KNOWN)


def difference(there: dict[str, Any], now: dict[str, Any], known: dict[str, Any] | None = KNOWN) -> str:
    with pytest.raises(InputError) as caught:
        require_same(RUN, there, now, known)
    text = str(caught.value)
    start, end = "run holds a run made with another configuration: ", "; give another --run_dir, or that value again"
    assert text.startswith(start) and text.endswith(end)
    return text[len(start):-len(end)]


def test_a_configuration_is_itself() -> None:
    own = with_values(KNOWN, subjects__mine={"training": {"epochs": 3}}, membership__training={"epochs": 2},
                      sweep__variants={"ordinary": {}, "small.one": {"training": {"rate": 0.2}}})
    for config in (KNOWN, own):
        assert forgotten(config, config) == []
        assert require_same(RUN, config, config) == []


@pytest.mark.parametrize("key", ["seed", "training__rate", "training", "sweep__models", "subjects", "sweep"])
def test_a_new_key_with_its_default_makes_no_other_run(key: str) -> None:
    assert forgotten(with_values(KNOWN, **{key: ...}), KNOWN) == []


@pytest.mark.parametrize(("key", "value", "expected"), [
    ("seed", 3, "seed is absent there and 3 now"),
    ("training__rate", 0.2, "training.rate is absent there and 0.2 now"),
    ("training__epochs", 5, "training.epochs is absent there and 5 now"),
    ("training__rate", None, "training.rate is absent there and None now"),
    ("seed", False, "seed is absent there and False now"),
])
def test_a_new_key_with_another_value_is_refused_by_name(key: str, value: Any, expected: str) -> None:
    assert difference(with_values(KNOWN, **{key: ...}), with_values(KNOWN, **{key: value})) == expected


def test_a_key_that_is_not_known_any_more_is_named_and_not_compared() -> None:
    there = with_values(KNOWN, gone=1, training__gone=2, old__deep__section=3, seeds={"a": 4})
    assert sorted(forgotten(there, KNOWN)) == ["gone", "old.deep.section", "seeds.a", "training.gone"]


def test_a_key_that_became_a_section_and_back_is_a_new_one() -> None:
    assert forgotten(with_values(KNOWN, training="fast"), KNOWN) == ["training"]
    assert forgotten(with_values(KNOWN, seed={"data": 1, "training": 2}), KNOWN) == ["seed.data", "seed.training"]


@pytest.mark.parametrize(("there", "now", "expected"), [
    ({"seed": 1}, {}, "seed is 1 there and 0 now"),
    ({}, {"seed": 1}, "seed is 0 there and 1 now"),
    ({"seed": 0.0}, {}, "seed is 0.0 there and 0 now"),
    ({}, {"seed": ...}, "seed is 0 there and absent now"),
    ({"gone": 1, "training__epochs": 3}, {}, "training.epochs is 3 there and None now"),
])
def test_values_that_differ_are_refused_by_name(there: dict[str, Any], now: dict[str, Any], expected: str) -> None:
    assert difference(with_values(KNOWN, **there), with_values(KNOWN, **now)) == expected


@pytest.mark.parametrize(("there", "now", "expected"), [
    ({}, {"subjects__a": {}}, "subjects.a is absent there and given now"),
    ({"subjects__a": {}}, {}, "subjects.a is given there and absent now"),
    ({"subjects__training": {}}, {}, "subjects.training is given there and absent now"),
    ({"subjects__a__gone__key": 1}, {}, "subjects.a is given there and absent now"),
    ({"sweep__variants__b": {}}, {"sweep__variants__c": {}}, "sweep.variants.c is absent there and given now"),
    ({"subjects__a": {}}, {"subjects__a__training__epochs": 3}, "subjects.a.training.epochs is absent there and 3 now"),
    ({"subjects__a": {}}, {"subjects__a__training__epochs": None},
     "subjects.a.training.epochs is absent there and None now"),
    ({"subjects__a__training__epochs": 3}, {"subjects__a": {}}, "subjects.a.training.epochs is 3 there and absent now"),
    ({"subjects__a__training__epochs": 3}, {"subjects__a__training__epochs": 4},
     "subjects.a.training.epochs is 3 there and 4 now"),
    ({"subjects__a__membership__training__epochs": 3}, {"subjects__a": {}},
     "subjects.a.membership.training.epochs is 3 there and absent now"),
    ({"membership__training__epochs": 3}, {}, "membership.training.epochs is 3 there and absent now"),
    ({}, {"membership__training__epochs": None}, "membership.training.epochs is absent there and None now"),
    ({"training__rate": ..., "subjects__a": {}}, {"subjects__a__training__rate": 0.3},
     "subjects.a.training.rate is absent there and 0.3 now"),
])
def test_below_names_and_in_optional_sections_absent_is_a_value(
        there: dict[str, Any], now: dict[str, Any], expected: str) -> None:
    assert difference(with_values(KNOWN, **there), with_values(KNOWN, **now)) == expected


def test_below_names_too_new_and_forgotten_keys_make_no_other_run() -> None:
    there = with_values(KNOWN, training__rate=..., subjects__a={"training": {"gone": 1}}, sweep__variants__b={},
                        membership__training__gone=2)
    now = with_values(KNOWN, subjects__a={"training": {"rate": 0.1}}, sweep__variants__b={"data": {}},
                      membership__training__rate=0.1)
    assert forgotten(there, now) == ["membership.training.gone", "subjects.a.training.gone"]


def test_only_below_names_does_a_key_mean_another() -> None:
    # Else ``data.name`` would be the well-known ``name``, and a new ``data.name`` one that the run had.
    assert forgotten(with_values(KNOWN, data__name=...), KNOWN) == []
    assert forgotten(with_values(KNOWN, old__training__rate=3), KNOWN) == ["old.training.rate"]


def test_without_defaults_everything_is_compared() -> None:
    assert difference(KNOWN, with_values(KNOWN, seed=...), None) == "seed is 0 there and absent now"
    assert difference(with_values(KNOWN, seed=...), KNOWN, None) == "seed is absent there and 0 now"
    assert difference(with_values(KNOWN, subjects__a={}), KNOWN, None) == "subjects is absent there and {} now"


def leaves(section: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return [leaf for key, value in section.items()
            for leaf in (leaves(value, (*prefix, key)) if value and isinstance(value, dict) else [(*prefix, key)])]


IDENTITY = configuration.identity(SCHEMA.defaults)


@given(st.data(), st.sets(st.sampled_from(leaves(IDENTITY)), max_size=8))
def test_whatever_a_version_did_not_know_yet_its_runs_go_on(data: st.DataObject, unknown: set[tuple[str, ...]]) -> None:
    there, now = copy.deepcopy(IDENTITY), copy.deepcopy(IDENTITY)
    for key in unknown:
        section = there
        for part in key[:-1]:
            section = section[part]
        del section[key[-1]]
    assert require_same(RUN, there, now, IDENTITY) == []
    key = data.draw(st.sampled_from(leaves(IDENTITY)))
    section = now
    for part in key[:-1]:
        section = section[part]
    section[key[-1]] = {"other": 1} if section[key[-1]] == {} else "another value"
    with pytest.raises(InputError, match="another configuration: " + ".".join(key)):
        require_same(RUN, there, now, IDENTITY)


def test_the_programs_own_configuration_with_subjects_and_variants(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("subjects: {a: {training: {epochs: 2}}}\nmembership: {training: {epochs: 1}}\n"
                    "sweep: {variants: {ordinary: {}, b: {model: {name: mlp}}}}\n")
    now = configuration.identity(load(str(file)))
    there = copy.deepcopy(now)
    there["subjects"]["a"]["training"]["gone"] = 1
    del there["prune"], there["training"]["weight_decay"]
    assert require_same(RUN, there, now, IDENTITY) == ["subjects.a.training.gone"]
    there["subjects"]["a"]["training"]["epochs"] = 3
    with pytest.raises(InputError, match="subjects.a.training.epochs is 3 there and 2 now"):
        require_same(RUN, there, now, IDENTITY)
