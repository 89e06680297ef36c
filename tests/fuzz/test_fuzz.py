"""Fuzzed inputs end in one line of refusal or in right work; ``run.py`` does the same for as many as one likes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fuzzing import outcomes, table, violations

INPUTS = 500


@pytest.mark.slow
def test_no_input_of_any_kind_ends_in_a_fault_of_ours(tmp_path: Path) -> None:
    results = list(outcomes(range(INPUTS), 0, tmp_path))
    wrong = [f"input {outcome.number} ({outcome.kind}): {text}" for outcome in results for text in outcome.violations]
    assert not wrong, "\n".join([*wrong, table(results)])
    # Most are refused, and enough are not: a generator whose inputs all fail at the first check tests nothing else.
    counted = {code: sum(outcome.code == code for outcome in results) for code in (0, 2, "planned")}
    assert counted[2] > INPUTS // 2 and counted["planned"] > INPUTS // 20 and counted[0] > INPUTS // 50, counted


@pytest.mark.parametrize(("code", "out", "err", "changed", "named"), [
    (0, "fine\n", "", [], ""),
    ("planned", "", "", [], ""),
    (2, "", "mindleak: 'x' is unknown\n", [], ""),
    (1, "", "Traceback (most recent call last):\nKeyError: 3\n", [], "ends with 1: KeyError: 3"),
    ("signal 6", "", "", [], "ends with signal 6"),
    ("hang", "", "", [], "ends with hang"),
    (2, "", "mindleak: a\nmindleak: b\n", [], "2 lines"),
    (2, "", "", [], "0 lines"),
    (2, "", f"mindleak: {'x' * 500}\n", [], "a line of 510 characters"),
    (0, "\x1b[31m\n", "", [], "not to be seen"),
    (0, "a\u202eb\n", "", [], "not to be seen"),
    (0, "", "", ["inputs/data.npz"], "changed its inputs"),
    (2, "", "mindleak: x\n", ["elsewhere"], "refused, and left"),
    (0, "", "", ["pwned"], "ran a command"),
])
def test_the_judge_tells_right_from_wrong(tmp_path, code, out, err, changed, named):
    (tmp_path / "stdout.txt").write_text(out)
    (tmp_path / "stderr.txt").write_text(err)
    answer = {"number": 3, "code": code, "changed": changed}
    wrong = list(violations(answer, tmp_path, {"encoding": "utf-8"}))
    assert len(wrong) == bool(named) and named in "".join(wrong)


def test_an_input_is_the_same_each_time(tmp_path):
    from fuzzed_inputs import Assets, make

    for name in ("data.npz", "toy.ckpt", "run/config.yaml", "ckpt/net.ckpt", "report/report.json"):
        (tmp_path / "assets" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "assets" / name).write_bytes(json.dumps({"a": [1, {"b": 2}]}).encode())
    made = []
    for attempt in "ab":
        for number in (0, 3, 8, 13):
            work = tmp_path / attempt / str(number)
            try:
                made.append(vars(make(number, 5, work, Assets(tmp_path / "assets"))))
            except ValueError:  # data.npz is none here, and this input wants to read it
                made.append({})
    assert made[:4] == made[4:]
