"""Subjects: their configuration, their data, and where their networks come from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from easydict import EasyDict
from mindspore import nn

from mindleak import settings as configuration
from mindleak.attacks.inversion.layers import layer_names
from mindleak.data.custom import read_rows
from mindleak.data.dataset import Dataset
from mindleak.data.splits import check_rows
from mindleak.errors import InputError
from mindleak.evaluation.answers import LOG_PROBABILITIES, LOGITS
from mindleak.models import own_file, registry
from mindleak.models.estimators import ESTIMATORS
from mindleak.settings.estimator import Estimator
from mindleak.settings.key_names import KeyNames
from mindleak.settings.model import Model
from mindleak.subjects.answers import misfit, require_logits
from mindleak.subjects.asking import require_finite
from mindleak.subjects.own import Subject, architecture, check_subject, make_twin, weights_digest
from mindleak.subjects.session import Session
from mindleak.training import checkpoint
from mindleak.training.methods import METHODS
from mindleak.training.recipe import Recipe


class NoNetworkError(InputError):
    """A subject that is no network is asked for layers, gradients or parameters, which it does not have."""


@dataclass
class SubjectPlan:
    """One subject of a run: its own configuration, its data, and how to make its networks.

    The run trains it. What is brought along is a ``GivenSubject``.
    """

    session: Session
    name: str
    config: EasyDict
    # Under which names of the configuration it stands; whoever makes one that is no subject says so.
    place: str = field(init=False, default="subjects")

    @cached_property
    def dataset(self) -> Dataset:
        """The data at this subject's input size."""
        return self.session.dataset(self.config.data)

    @cached_property
    def untrained(self) -> nn.Cell:
        """A network of this architecture, to be asked for its layers and parameters; never trained."""
        return self.make_network(0)

    @property
    def example(self) -> nn.Cell:
        """A network of this architecture, trained or not, to be asked for its layers."""
        return self.untrained

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that its answers can be taken from, the logits last."""
        return tuple(layer_names(self.example))

    @property
    def members(self) -> np.ndarray | None:
        """Rows of the training split that it was trained on, where that was settled before the run began."""
        return None

    @property
    def trained_on(self) -> np.ndarray:
        """Rows that a subject trained on everything there is has seen, as far as anybody knows, sorted."""
        return np.arange(len(self.dataset.y_train))

    @property
    def is_trained(self) -> bool:
        """Whether it came with weights."""
        return False

    @cached_property
    def answers(self) -> str:
        """What the subject's network answers with, logits or log-probabilities; asked once, on real images.

        Raises:
            InputError: it answers with something else.
        """
        if not self.session.asks:
            return LOGITS
        require_finite(self.example, self.dataset, self.model_label, self.is_trained)
        return require_logits(self.example, self.dataset, self.model_label, self.is_trained)

    @property
    def misfit(self) -> str | None:
        """Why the answers of a network that was trained elsewhere do not fit the data; None where they do."""
        return None

    @cached_property
    def trains_by_logits(self) -> bool:
        """True: its twins answer with logits, and finite ones, when they are asked and while they train.

        Raises:
            InputError: they do not.
        """
        if not self.session.asks:
            return True
        require_finite(self.untrained, self.dataset, self.model_label, trained=False)
        require_logits(self.untrained, self.dataset, self.model_label, trained=False)
        if not self.is_registered:
            require_logits(self.make_network(0), self.dataset, self.model_label, trained=False, training=True)
        return True

    @property
    def is_registered(self) -> bool:
        """Whether its networks are made by the registry from a class of the project's own."""
        return self.config.model.name in registry.CLASSIFIERS

    @property
    def model_label(self) -> str:
        """What reports call the architecture."""
        return registry.label(self.config.model.name, self.config.model)

    def make_network(self, seed: int) -> nn.Cell:
        """Return an untrained network whose weights follow from ``seed``."""
        shape, classes = self.dataset.image_shape, self.dataset.num_classes
        return registry.build(self.config.model.name, shape, classes, seed, model_options(self.config.model))

    def architecture(self, seed: int) -> dict[str, Any]:
        """Return what identifies the untrained network that ``make_network`` makes of ``seed``."""
        model = self.config.model
        return {"name": model.name, "source": own_file.source(model.name), **model_options(model)}

    def key_names(self, section: str = "") -> KeyNames:
        """Return under which keys the settings of a training of this subject stand.

        ``section`` has settings of a training beside the subject's own; an error that names none of its keys is about
        its network, where it has one.
        """
        whole = self.session.config
        about = f"{section}.model" if "model" in whole.get(section, {}) else ""
        own = configuration.named_parts(whole)[self.place].get(self.name, {})
        return KeyNames(self.config, f"{self.place}.{self.name}", own, section, about)

    def recipe(self, overrides: dict[str, Any] | None = None, section: str = "") -> Recipe:
        """Return the training recipe, with the overrides of a section where given."""
        merged = {**self.config.training, **(overrides or {})}
        if merged["epochs"] is None:
            merged["epochs"] = getattr(registry.CLASSIFIERS.get(self.config.model.name), "default_epochs", 10)
        with self.key_names(section if overrides else "").in_messages():
            return Recipe(**merged)

    def settings(self, recipe: Recipe, overrides: Mapping[str, Any] | None = None, section: str = "") -> Any:
        """Return what the recipe's method is set by, with the overrides of a section; None where by nothing."""
        method = METHODS[recipe.method]
        if method.settings_type is None:
            return None
        with self.key_names(section if overrides else "").in_messages():
            return method.settings_type(**{**self.config[method.section], **(overrides or {})})


@dataclass
class GivenSubject(SubjectPlan):
    """A subject that was trained elsewhere: a checkpoint, or a network from Python.

    Attributes:
        given: the network and what it was trained on.
        make: makes its untrained twins where the configuration's ``model`` section does not say how, that is, for a
            subject from Python.
    """

    given: Subject
    make: Callable[[], nn.Cell] | None = None

    @property
    def example(self) -> nn.Cell:
        """The network itself."""
        return self.given.network

    @property
    def members(self) -> np.ndarray | None:
        """Rows that it was trained on; None where nobody has said."""
        return self.given.members

    @property
    def trained_on(self) -> np.ndarray:
        """Rows that it was trained on, or all where nobody has said."""
        return super().trained_on if self.members is None else np.sort(np.asarray(self.members))

    @property
    def is_trained(self) -> bool:
        """Whether it came with weights: it did."""
        return True

    @cached_property
    def misfit(self) -> str | None:
        """Why its answers do not fit the data; None where they do."""
        return misfit(self.given.network, self.dataset, self.members) if self.session.asks else None

    @property
    def is_registered(self) -> bool:
        """Whether its twins are made by the registry from a class of the project's own."""
        return self.make is None and super().is_registered

    @property
    def model_label(self) -> str:
        """What reports call the architecture."""
        return type(self.given.network).__name__

    def make_network(self, seed: int) -> nn.Cell:
        """Return an untrained twin whose weights follow from ``seed``."""
        if self.make is None:
            return super().make_network(seed)
        network = make_twin(self.given, self.make, seed)
        registry.check_output(network, self.dataset.image_shape, self.dataset.num_classes, self.model_label)
        return network

    def architecture(self, seed: int) -> dict[str, Any]:
        """Return what identifies the untrained twin that ``make_network`` makes of ``seed``."""
        if self.make is None:
            return super().architecture(seed)
        untrained = self.make_network(seed)
        return {"architecture": architecture(untrained), "start": weights_digest(untrained)}


@dataclass
class EstimatorPlan(SubjectPlan):
    """A subject that is no network: it offers answers, and neither layers nor gradients nor parameters."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Its answers alone."""
        return (LOGITS,)

    @property
    def answers(self) -> str:
        """The logarithms of its probabilities."""
        return LOG_PROBABILITIES

    @property
    def trains_by_logits(self) -> bool:
        """False: it is fitted to images and labels."""
        return False

    @property
    def model_label(self) -> str:
        """Its name: there are no options that make another model of it."""
        return str(self.config.model.name)

    def make_network(self, seed: int) -> NoReturn:
        """Refuse: there is none.

        Raises:
            NoNetworkError: whoever wants one needs more than answers.
        """
        raise NoNetworkError(f"model.name of '{self.name}' is {self.model_label}, which has answers and neither layers "
                             "nor gradients; expected a network")

    def architecture(self, seed: int) -> dict[str, Any]:
        """Return what identifies the model before it is fitted: its name and the settings that it looks at."""
        wanted = (key for key, setting in Estimator.declared().items() if self.model_label in setting.needs_models)
        return {"name": self.model_label, **{key: self.config.estimator[key] for key in wanted}}


def model_options(model: EasyDict) -> dict[str, Any]:
    """Return the constructor arguments that a registered network takes from its ``model`` section.

    Raises:
        InputError: an option that the network does not have and that would change another, so it would do nothing.
    """
    known = registry.CLASSIFIERS.get(model.name)
    accepted = {} if known is None else inspect.signature(known.__init__).parameters
    if model.width != 1 and known is not None and "width" not in accepted:
        raise InputError(f"model.width is {model.width:g}, and {model.name} has no width; expected 1"
                         + (" (model.hidden_size sets its size)" if "hidden_size" in accepted else ""))
    for key in ("cell", "bidirectional", "periods"):
        if model[key] != getattr(Model(), key) and known is not None and key not in accepted:
            raise InputError(f"model.{key} is {model[key]}, and {model.name} has no {key}; it belongs to "
                             "model.name=recurrent")
    return {key: value for key, value in model.items() if key in accepted}


def subject_plans(session: Session, provided: Subject | None = None) -> list[SubjectPlan]:
    """Return the subjects of the configuration: the named ones, or the one that it describes itself.

    None where it describes nothing but others, such as the variants of a sweep.

    Raises:
        InputError: a checkpoint or a members file that cannot be used.
    """
    config = session.config
    if provided is not None:
        if config.subjects:
            raise InputError("the configuration describes subjects of its own; give a subject of yours a configuration "
                             "without 'subjects'")
        config = sized(session, config, type(provided.network))
        checked = check_subject(provided, session.dataset(config.data))
        return [GivenSubject(session, checked.name, config, checked, checked.make or type(checked.network))]
    if not config.subjects and others_named(config):
        return []
    if config.subjects:
        plans = [(name, configuration.for_subject(config, name)) for name in config.subjects]
    else:
        plans = [(_default_name(config), config)]
    plans = [(name, sized(session, own, registry.CLASSIFIERS.get(own.model.name))) for name, own in plans]
    return [_subject_plan(session, name, own) for name, own in plans]


def _subject_plan(session: Session, name: str, config: EasyDict) -> SubjectPlan:
    """Return the subject of a configuration of its own."""
    if config.model.name in ESTIMATORS:
        return EstimatorPlan(session, name, config)
    return _from_checkpoint(session, name, config) or SubjectPlan(session, name, config)


def sized(session: Session, config: EasyDict, kind: type[nn.Cell] | None) -> EasyDict:
    """Return the configuration with the image size that null stands for: the data's own, or what the network needs."""
    if config.data.image_size is not None:
        return config
    size = registry.size_instead(kind, session.dataset(config.data).image_shape)
    return config if size is None else EasyDict({**config, "data": {**config.data, "image_size": size}})


def others_named(config: EasyDict) -> list[str]:
    """Return the keys under which the configuration names networks that are no subjects."""
    return [path for path, named in configuration.named_parts(config).items() if path != "subjects" and named]


def require_subjects(plans: list[SubjectPlan], config: EasyDict) -> list[SubjectPlan]:
    """Return the subjects for a job that cannot do without.

    Raises:
        InputError: the configuration describes none.
    """
    if not plans:
        named = " and ".join(others_named(config))
        raise InputError(f"the configuration has {named} and no subjects; 'mindleak audit' compares them, everything "
                         "else needs 'subjects'")
    return plans


def _default_name(config: EasyDict) -> str:
    """Return what the one subject of a configuration without names is called."""
    label = Path(config.model.name.rpartition(":")[0] or registry.label(config.model.name, config.model)).stem
    label = re.sub(r"[^A-Za-z0-9._-]", "_", label)
    made_otherwise = config.model.checkpoint is not None or config.model.name in ESTIMATORS
    return label if made_otherwise else f"{label}-{config.training.method}"


def _from_checkpoint(session: Session, name: str, config: EasyDict) -> GivenSubject | None:
    """Load the subject that ``model.checkpoint`` names, if it names one."""
    model = config.model
    if model.checkpoint is None:
        if model.members is not None:
            raise InputError("model.members says what a checkpoint was trained on; give the checkpoint too (--ckpt)")
        return None
    data = session.dataset(config.data)
    network = registry.build(model.name, data.image_shape, data.num_classes, 0, model_options(model))
    checkpoint.load_weights(network, model.checkpoint)
    members = None if model.members is None else _read_members(model.members, len(data.x_train))
    return GivenSubject(session, name, config, Subject(network, members, name))


def _read_members(path: str, available: int) -> np.ndarray:
    """Read the rows of the training split that a checkpoint was trained on."""
    return check_rows(read_rows(Path(path)), available, f"members file '{path}'")
