"""A stage's key covers the code of every job whose work is in its result: statically, so that no list falls behind."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from mindleak import jobs

FOLDER = Path(jobs.__file__).parent
# What a stage's module may take from others without their being in its key: names, plans that enter by their values,
# and digests themselves.
NEUTRAL = {"code_digest", "network_digest", "MEMBERSHIP", "JUDGE", "TEST_SPLIT", "Attack", "inversion_attacks"}


def tree(name: str) -> ast.Module:
    return ast.parse((FOLDER / name).read_text(encoding="utf-8"))


def listed(module: ast.Module) -> list[set[str]]:
    """The files that a module's calls of ``code_digest`` name, call by call."""
    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call)
             and isinstance(node.func, ast.Name) and node.func.id == "code_digest"]
    return [{each.value for each in call.args if isinstance(each, ast.Constant)} for call in calls]


def of_every_training() -> set[str]:
    (names,) = (node for node in ast.walk(tree("training_task.py")) if isinstance(node, ast.FunctionDef)
                and node.name == "training_code")
    return {node.value for node in ast.walk(names) if isinstance(node, ast.Constant)
            and isinstance(node.value, str) and node.value.endswith(".py")}


def foreign(name: str, covered: set[str]) -> list[str]:
    """What a job takes from jobs that its key does not cover."""
    return [f"{node.module}.{alias.name}" for node in ast.walk(tree(name)) if isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("mindleak.jobs.")
            and f"{(node.module or '').rpartition('.')[2]}.py" not in covered
            for alias in node.names
            if alias.name not in NEUTRAL and not alias.name.endswith("Plan") and not alias.name.startswith("plan_")]


STAGES = {path.name: lists for path in sorted(FOLDER.glob("*.py")) if (lists := listed(tree(path.name)))}


def test_there_are_stages_to_look_at() -> None:
    assert {"attacks.py", "inversion.py", "reference_attacks.py", "improved_attack.py", "observations.py",
            "sweep_variants.py", "audit.py"} <= set(STAGES)
    assert {"training_task.py", "answers.py"} <= of_every_training()


@pytest.mark.parametrize("name", [name for name in STAGES if name != "audit.py"])
def test_every_job_at_work_in_a_stage_is_in_its_key(name: str) -> None:
    for files in STAGES[name]:
        assert name in files and all((FOLDER / file).is_file() for file in files)
    # A module with several stages must cover for each what it takes for any, or take it for a reason given above.
    everywhere = set.intersection(*STAGES[name]) if name != "sweep_variants.py" else set.union(*STAGES[name])
    assert foreign(name, everywhere | of_every_training()) == []


def test_the_trainings_own_list_covers_what_it_takes() -> None:
    assert foreign("training_task.py", of_every_training()) == []


def test_the_documents_stage_is_keyed_by_its_own_file() -> None:
    assert {"document_attack.py"} in STAGES["audit.py"]
    assert foreign("document_attack.py", {"document_attack.py"} | of_every_training()) == []
