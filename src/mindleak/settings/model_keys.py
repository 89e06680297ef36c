"""Keys that only networks, or only some models that are none, look at: set for another model, they would do nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mindleak.errors import InputError
from mindleak.settings.estimator import ESTIMATORS
from mindleak.settings.fields import Setting
from mindleak.settings.schema import Schema, value_at


def check_models(schema: Schema, merged: Mapping[str, Any]) -> None:
    """Refuse keys that are set for another kind of model than any that there is.

    What several subjects have in common may be meant for some of them only; what one sets for itself is for itself.

    Raises:
        InputError: for the first such key, under its full path.
    """
    models: set[str] = set()
    common = merged["model"]["name"]
    for path in schema.named:
        for name, own in value_at(merged, path).items():
            model = own.get("model", {}).get("name", common)
            _refuse_unused(schema, own, {model}, f"{path}.{name}.")
            models.add(model)
    _refuse_unused(schema, _changed(schema, merged), models or {common}, "")


def _changed(schema: Schema, merged: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections that name a model's own settings, with what differs from the defaults."""
    return {name: {key: value for key, value in merged[name].items() if value != schema.defaults[name].get(key)}
            for name in schema.sections}


def _refuse_unused(schema: Schema, sections: Mapping[str, Any], models: set[str], prefix: str) -> None:
    """Raise InputError for the first key that no model of ``models`` looks at."""
    shown = " and ".join(sorted(models))
    for key in _of_networks(schema, sections) if models <= set(ESTIMATORS) else ():
        raise InputError(f"{prefix}{key} has no effect on model.name={shown}, which is no network; omit it, or set "
                         "another model.name")
    for section, values in sections.items():
        for key in values:
            declared = schema.declared.get(f"{section}.{key}")
            if isinstance(declared, Setting) and declared.needs_models and not models & set(declared.needs_models):
                raise InputError(f"{prefix}{section}.{key} has no effect unless model.name="
                                 f"{' or '.join(declared.needs_models)}, which here is {shown}; set that too, or omit "
                                 f"{section}.{key}")


def _of_networks(schema: Schema, sections: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys that say what a network is like or how it is trained, also where a section sets that again."""
    training = ("training", *schema.methods)
    for section, values in sections.items():
        for key, value in values.items():
            if section in training or (section == "model" and key != "name"):
                yield f"{section}.{key}"
            elif schema.overrides.get(f"{section}.{key}") in training:
                yield from (f"{section}.{key}.{inner}" for inner in value)
