"""Every figure of one report: drawn, saved as PNG in the run, and handed to the page with caption and alt text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from mindleak.errors import InputError
from mindleak.files import check_plain, require_own_folder
from mindleak.reporting.canvas import inline_svg, png_bytes
from mindleak.reporting.charts import attacks_roc_figure, curves_figure, roc_figure, summary_figure
from mindleak.reporting.pictures import MAX_PAIRS, captioned_figure, inversion_figure
from mindleak.reporting.reference_tables import reference_results
from mindleak.reporting.tradeoff import in_words, sweep_caption, tradeoff_figure
from mindleak.reporting.wording import Subjects, class_names, count, has_value, number, percent
from mindleak.runs.atomic import atomic_write_bytes

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Illustration:
    """One figure on the page: ``name`` (its id), ``svg`` (safe markup), ``caption``, ``file`` (PNG in the run)."""

    name: str
    svg: Markup
    caption: str
    file: str


class Gallery:
    """Draws a document's figures and writes each as ``FOLDER/NAME.png`` in the run."""

    def __init__(self, document: Document, subjects: Subjects, run_dir: Path, arrays_root: Path,
                 folder: str = "figures") -> None:
        self._document = document
        self._subjects = subjects
        self._run_dir = run_dir
        self._arrays_root = arrays_root
        self._folder = folder
        self._taken: set[str] = set()

    def summary(self) -> Optional[Illustration]:
        """Return the dot-and-interval chart of membership AUC and TPR."""
        results = self._document["membership"]
        alt = "Membership AUC by subject: " + "; ".join(self._auc_in_words(result) for result in results)
        caption = (
            "Membership attack per subject: dots with their intervals; the dashed line is guessing. Where an "
            "interval meets that line, guessing could explain the result. A grey bar covers leaks too small for "
            "this sample to notice reliably."
        )
        return self._hang("summary", summary_figure(results, self._subjects), caption, alt)

    def roc(self) -> Optional[Illustration]:
        """Return the log-log ROC of all membership results."""
        results = self._document["membership"]
        alt = "Log-log ROC curves. " + "; ".join(self._auc_in_words(result) for result in results)
        caption = (
            "ROC on logarithmic axes: how many members the attack finds (upwards) while it wrongly accuses so many "
            "non-members (rightwards). Curves above the dashed diagonal beat guessing. The thin part of a curve rests "
            "on fewer than ten false positives."
        )
        return self._hang("roc", roc_figure(results, self._subjects), caption, alt)

    def curves(self) -> list[Illustration]:
        """Return the training curves of every subject that has a history."""
        shown = []
        for subject in self._document["subjects"]:
            name = self._subjects.name(subject["id"]).full
            alt = f"Training curves of {name}: {_last_epoch(subject['history'])}"
            caption = "Loss and accuracy by epoch. Dashed: training; solid: validation."
            figure = curves_figure(subject, self._subjects)
            shown.append(self._hang(f"curves-{subject['id']}", figure, caption, alt))
        return [illustration for illustration in shown if illustration]

    def tradeoff(self) -> Optional[Illustration]:
        """Return every leak of the sweep against accuracy or gap, if there was one."""
        sweep = self._document.get("sweep")
        if not sweep:
            return None
        caption = f"{sweep_caption(sweep)} Means over {sweep['models']} networks, bars their intervals."
        return self._hang("tradeoff", tradeoff_figure(sweep), caption, in_words(sweep))

    def inversions(self) -> list[Illustration]:
        """Return originals above inversions for every inversion that kept its pictures.

        Raises:
            InputError: a picture file that the document names is missing or damaged.
        """
        names = class_names(self._document)
        shown = []
        for entry in self._document["inversion"]:
            if not entry.get("arrays"):
                continue
            originals, inversions = _load(self._arrays_root / entry["arrays"], ("originals", "inversions"))
            subject = self._subjects.name(entry["subject"]).full
            title = f"{subject}, layer {entry['layer']}"
            drawn = min(len(originals), MAX_PAIRS)
            right = sum(a == b for a, b in zip(entry["labels"][:drawn], entry["predicted"][:drawn]))
            which = f"The first {drawn} of {count(entry['n'])} images" if drawn < entry["n"] else f"All {drawn} images"
            caption = (
                f"{title}: originals above what the attack rebuilt from the layer's output. {which}, none picked by "
                f"hand. Below each pair the true class and what the judge ({entry['judge']}) reads: → right, ✗ wrong."
            )
            alt = f"{drawn} originals and their inversions, {title}; the judge reads {right} of {drawn} correctly."
            figure = inversion_figure(originals, inversions, entry["labels"], entry["predicted"], names, title)
            shown.append(self._hang(f"inversion-{entry['subject']}-{entry['layer']}", figure, caption, alt))
        return [illustration for illustration in shown if illustration]

    def attacks_rocs(self) -> list[Illustration]:
        """Return, for every subject with reference attacks, their log-log ROC curves together."""
        shown = []
        for result in reference_results(self._document):
            name = self._subjects.name(result["subject"]).full
            areas = [f"{each['attack']} {number('auc', each['overall']['auc']['value'])}"
                     for each in result["attacks"] if has_value(each["overall"].get("auc"))]
            caption = (
                f"{name}: ROC of the attacks that use reference models, on logarithmic axes. Curves above the dashed "
                "diagonal beat guessing. The thin part of a curve rests on fewer than ten false positives."
            )
            alt = f"Log-log ROC curves of attacks on {name}; AUC: {', '.join(areas) or 'not measured'}."
            figure = attacks_roc_figure(result, name)
            shown.append(self._hang(f"attacks-{result['subject']}", figure, caption, alt))
        return [illustration for illustration in shown if illustration]

    def exposed(self) -> list[Illustration]:
        """Return the most exposed members of every subject with reference attacks, as pictures.

        Raises:
            InputError: a picture file that the document names is missing or damaged.
        """
        names = class_names(self._document)
        shown = []
        for result in reference_results(self._document):
            parts = ("exposed_images", "exposed_labels", "exposed_scores")
            images, labels, scores = _load(self._arrays_root / result["arrays"], parts)
            if len(images) == 0:
                continue
            name, attack = self._subjects.name(result["subject"]).full, result["exposed"]["attack"]
            captions = [f"{names.get(int(label), str(label))}\n{score:.3g}" for label, score in zip(labels, scores)]
            caption = (
                f"{name}: the {len(images)} members with the highest scores of {attack}, highest first, with class and "
                "score. The scores of all samples lie beside the stage's result."
            )
            figure = captioned_figure(images, captions, f"{name}, most exposed by {attack}")
            shown.append(self._hang(f"exposed-{result['subject']}", figure, caption,
                                    f"{len(images)} training images that {attack} scores highest, {name}."))
        return [illustration for illustration in shown if illustration]

    def _hang(self, name: str, figure: Optional[Figure], caption: str, alt: str) -> Optional[Illustration]:
        if figure is None:
            return None
        name = self._unique(name)
        file = f"{self._folder}/{name}.png"
        require_own_folder(self._run_dir / self._folder)
        atomic_write_bytes(self._run_dir / file, png_bytes(figure))
        # The markup is matplotlib's own; it escapes the text it draws.
        return Illustration(name, Markup(inline_svg(figure, name, alt)), caption, file)

    def _unique(self, name: str) -> str:
        """Return a file and id name of plain characters that no other figure of the page has."""
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")
        unique, copy = stem, 2
        while unique in self._taken:
            unique, copy = f"{stem}-{copy}", copy + 1
        self._taken.add(unique)
        return unique

    def _auc_in_words(self, result: Mapping[str, Any]) -> str:
        auc = result["overall"].get("auc")
        written = number("auc", auc["value"]) if has_value(auc) else "not measured"
        return f"{self._subjects.name(result['subject']).full} {written}"


def _last_epoch(history: Sequence[Mapping[str, Any]]) -> str:
    if not history or history[-1].get("val_accuracy") is None:
        return f"{len(history)} epochs."
    return f"validation accuracy {percent(history[-1]['val_accuracy'], 2)} after {len(history)} epochs."


def _load(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    check_plain(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            return [stored[name] for name in names]
    except FileNotFoundError:
        raise InputError(f"{path}: the pictures of this run are gone; run the audit again to rebuild them") from None
    except Exception as error:  # NumPy and zipfile raise another type for every kind of damage.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not a whole picture file ({reason}); delete it and run the audit again") from error
