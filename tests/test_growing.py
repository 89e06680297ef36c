"""What docs/architecture.md says of adding a data set, a way to train and an attack, done on a copy of the package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mindleak

READER = """
import numpy as np

from mindleak.data.dataset import RawData


def read_stripes(data_dir):
    draw = np.random.default_rng(0)
    labels = np.arange(600, dtype=np.int32) % 2
    images = draw.integers(0, 128, (600, 1, 8, 8)) + 127 * labels[:, None, None, None] * (np.arange(8) % 2)
    split = np.arange(600) < 500
    images = images.astype(np.uint8)
    return RawData(images[split], labels[split], images[~split], labels[~split], ("plain", "striped"))
"""
ENTRY = """Entry(name="stripes", title="Stripes", origin="made up", read=read_stripes, shape=(1, 8, 8), rows=(500, 100),
              class_names=("plain", "striped")),
        """
METHOD = """
from mindleak.training.trainer import Training


class TwiceTraining(Training):
    kind = "training twice"

    @classmethod
    def epochs(cls, recipe, settings):
        return 2 * recipe.epochs
"""


def edit(path: Path, before: str, after: str) -> None:
    """Put ``after`` before the first ``before`` of a file."""
    text = path.read_text()
    assert text.count(before) >= 1, (path, before)
    path.write_text(text.replace(before, after + before, 1))


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a copy of the package with one more of each."""
    folder = tmp_path_factory.mktemp("grown")
    package = folder / "mindleak"
    shutil.copytree(Path(mindleak.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "data" / "stripes.py").write_text(READER)
    edit(package / "data" / "catalogue.py", "from mindleak.data.svhn import", "from mindleak.data.stripes import "
         "read_stripes\n")
    edit(package / "data" / "catalogue.py", 'Entry(\n            name="custom"', ENTRY)
    (package / "training" / "twice.py").write_text(METHOD)
    edit(package / "training" / "methods.py", "\nMETHODS", "from mindleak.training.twice import TwiceTraining\n")
    edit(package / "training" / "methods.py", '"ordinary": Training', '"twice": TwiceTraining, ')
    edit(package / "settings" / "training.py", '"ordinary", "suppress"', '"twice", ')
    edit(package / "attacks" / "membership" / "names.py", '"loss", "confidence"', '"second", ')
    edit(package / "attacks" / "membership" / "metric.py", '    "loss": lambda',
         '    "second": lambda logits, labels: -np.sort(np.asarray(logits, np.float64), axis=1)[:, -2],\n')
    return folder


@pytest.mark.slow
def test_a_data_set_a_way_to_train_and_an_attack_are_found_everywhere(grown: Path) -> None:
    settings = ["data.name=stripes", "model.name=lstm_rnn", "model.hidden_size=4", "training.method=twice",
                "training.epochs=2", "inversion.enabled=false", "membership.attacks=[second]",
                "membership.references=4"]
    done = subprocess.run([sys.executable, "-m", "mindleak", "audit", "--run_dir", "run", "--ckpt_dir", "ckpt",
                           *(f"--set={setting}" for setting in settings)], cwd=grown, text=True, capture_output=True,
                          timeout=400, check=False, env={**os.environ, "PYTHONPATH": str(grown)})
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads((grown / "run" / "report.json").read_text())
    assert record["provenance"]["data"]["name"] == "stripes"
    assert {subject["training"] for subject in record["subjects"]} == {"twice"}
    assert {len(subject["history"]) for subject in record["subjects"]} == {4}, "twice as many epochs"
    (references,) = record["results"]["membership"]
    assert [each["attack"] for each in references["attacks"]] == ["second"]
    assert 0 <= references["attacks"][0]["overall"]["auc"]["value"] <= 1
    shown = subprocess.run([sys.executable, "-m", "mindleak", "data", "list"], cwd=grown, text=True,
                           capture_output=True, check=True, env={**os.environ, "PYTHONPATH": str(grown)})
    assert "stripes" in shown.stdout
