"""A family from another package: found everywhere without an edit, and named with its package where it is at fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOY = '''
from dataclasses import dataclass

from markupsafe import Markup

from mindleak.audits.family import Family, NoVerdictError, Plan
from mindleak.audits.finding import SHOWN, Finding
from mindleak.reporting.page import Section as Part
from mindleak.settings.fields import Section, setting


@dataclass(frozen=True)
class Settings(Section, per_subject=True):
    """How many classes does it know?"""

    enabled: bool = setting(True, "whether an audit asks it")
    least: int = setting(2, "classes that a network must know", least=1, most=100)


class Toy(Family):
    name, question, help = "toy", "How many classes does it know?", "count the classes of a network"
    settings = Settings

    def plan(self, subject):
        from mindleak.subjects.trained import headline

        if subject.dataset.num_classes < subject.config.toy.least:
            raise NoVerdictError(f"toy.least is {subject.config.toy.least}; expected at most the classes there are")
        return Plan(headline(subject))

    def run(self, plan):
        return [{"subject": plan.subject.identifier, "classes": {"value": plan.subject.record()["n_train"]}}]

    def findings(self, results, context):
        for result in results:
            yield Finding(f"{result['subject']} was counted.", result["subject"], SHOWN, (result["classes"],))

    def sections(self, results, page):
        return [Part("toy", "Toy", Markup("<p>{}</p>").format("counted <here>"))]

    def lines(self, results, page):
        return [f"toy: {len(results)} counted"]
'''
SMALL = ("training.epochs=1", "inversion.enabled=false", "membership.enabled=false", "data.image_size=8",
         "model.name=lstm_rnn")


def install(folder: Path, place: str = "toy_package:Toy", source: str = TOY, package: str = "toy-package") -> None:
    """Lay a package with one entry point into a folder, as an installer does."""
    information = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[mindleak.families]\ntoy = {place}\n")
    (folder / f"{place.partition(':')[0]}.py").write_text(source)


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    return subprocess.run([sys.executable, "-m", "mindleak", *words], env=environment, cwd=folder, text=True,
                          capture_output=True, timeout=300, check=False)


def audit(folder: Path, command: tuple[str, ...], *settings: str,
          run_dir: str = "run") -> subprocess.CompletedProcess[str]:
    return run(folder, *command, "--run_dir", run_dir, "--ckpt_dir", "ckpt",
               *(f"--set={setting}" for setting in (*SMALL, *settings)))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    install(folder)
    return folder


def test_help_and_configuration_have_it(toy: Path) -> None:
    assert "toy" in (shown := run(toy, "attack", "--help")).stdout and "count the classes" in shown.stdout
    assert "classes that a network must know" in run(toy, "config", "toy").stdout
    wrong = run(toy, "train", "--set", "toy.leest=3")
    assert wrong.returncode == 2 and "did you mean 'toy.least'" in wrong.stderr
    wrong = run(toy, "train", "--set", "toy.least=101")
    assert wrong.returncode == 2 and "toy.least" in wrong.stderr and "at most 100" in wrong.stderr


@pytest.mark.slow
def test_an_audit_asks_it_and_its_report_shows_it(toy: Path) -> None:
    done = audit(toy, ("audit",))
    assert done.returncode == 0 and "toy: 1 counted" in done.stdout, done.stderr[-2000:]
    record = json.loads((toy / "run" / "report.json").read_text())
    assert [result["classes"]["value"] for result in record["results"]["toy"]] == [1297]
    (finding,) = [each for each in record["findings"] if each["family"] == "toy"]
    assert finding["verdict"] == "shown" and finding["question"] == "How many classes does it know?"
    assert finding["metrics"] == ["/results/toy/0/classes"] and finding["subject"] == record["subjects"][0]["id"]
    page = (toy / "run" / "report.html").read_text()
    assert "counted &lt;here&gt;" in page and '<a href="#toy">Toy</a>' in page
    again = run(toy, "report", "--run_dir", "run")
    assert again.returncode == 0 and "toy: 1 counted" in again.stdout
    without = subprocess.run([sys.executable, "-m", "mindleak", "report", "--run_dir", toy / "run"], text=True,
                             capture_output=True, check=False)
    assert without.returncode == 0 and "results of the family 'toy', which is not installed here" in without.stdout
    # Alone it is refused where it has no verdict, beside others it is skipped with the reason.
    alone = audit(toy, ("attack", "toy"), "toy.least=11", run_dir="eleven")
    assert alone.returncode == 2 and "expected at most the classes there are" in alone.stderr
    idle = audit(toy, ("attack", "toy"), "toy.enabled=false", run_dir="idle")
    assert idle.returncode == 2 and "toy.enabled is false" in idle.stderr


GAUGE = '''
from mindleak.audits.gauge import Gauge, Measure, NetworkFigures


class Counting(Gauge):
    def measured(self, variant, backwards=False):
        return [NetworkFigures({"known/classes": variant.logits(number).argmax(1).max() / 10})
                for number in range(len(variant.tasks))]

    def measure(self, name):
        return Measure("Share of classes known", leak=True, table="classes")

    def record(self):
        return {"note": "Classes were counted."}


Toy.gauge = lambda self, variants: Counting()
'''
SWEEP = ("sweep.models=2", "sweep.attacks=[loss]", "sweep.variants.ordinary={}",
         "sweep.variants.small.model.hidden_size=8")


@pytest.mark.slow
def test_a_sweep_compares_networks_by_what_it_measures(tmp_path: Path) -> None:
    install(tmp_path, source=TOY + GAUGE)
    done = audit(tmp_path, ("audit",), *SWEEP)
    assert done.returncode == 0, done.stderr[-2000:]
    (sweep,) = json.loads((tmp_path / "run" / "report.json").read_text())["results"]["sweep"]
    assert sweep["leaks"][-1] == "known/classes" and sweep["measures"]["known/classes"]["table"] == "classes"
    assert all(len(variant["measures"]["known/classes"]["values"]) == 2 for variant in sweep["variants"])
    assert "known/classes" in sweep["comparisons"][0]["changes"]
    assert "Share of classes known" in sweep["conclusions"][0]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Share of classes known" in page and "Classes were counted." in page


@pytest.mark.parametrize(("place", "source", "said"), [
    ("broken_package:Toy", "1 / 0", "family 'toy' of package 'broken' does not load: ZeroDivisionError"),
    ("empty_package:Toy", "", "family 'toy' of package 'broken' does not load: AttributeError"),
    ("other_package:Toy", "class Toy:\n    name = 'toy'", "is a Toy; expected a mindleak.audits.family.Family"),
    ("taken_package:Toy", TOY.replace('"toy", "How', '"inversion", "How'),
     "family 'inversion' of package 'broken' has a name that is taken by mindleak.audits.inversion.family"),
    ("section_package:Toy", TOY.replace('"toy", "How', '"judge", "How'),
     "family 'judge' of package 'broken' has a name that is taken by a section of the configuration"),
])
def test_one_at_fault_is_named_with_its_package(tmp_path: Path, place: str, source: str, said: str) -> None:
    install(tmp_path, place, source, "broken")
    done = run(tmp_path, "attack", "--help")
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert run(tmp_path, "--help").returncode == 0, "who asks for help gets it"
