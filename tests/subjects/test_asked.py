"""Networks beside a subject are asked as they were trained, whatever they hold beside their parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mindleak import settings as config
from mindleak.audits.membership.observations import Observer
from mindleak.audits.membership.plan import plan_membership
from mindleak.jobs.session import open_session
from mindleak.subjects.asked import AskedTask, asked_aside
from mindleak.subjects.subject import SubjectPlan, subject_plans
from mindleak.subjects.task import HEADLINE, TrainingTask

PROJECTED = '''"""A network whose first layer is drawn anew each time and is in no checkpoint."""
import numpy as np
from mindspore import Tensor, nn, ops


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.projection = Tensor((np.random.randn(144, 40) / 12).astype(np.float32))
        self.head = nn.Dense(40, 10)

    def construct(self, x):
        return self.head(ops.matmul(self.flatten(x), self.projection))
'''


def plan_of(folder: Path, *assignments: str) -> SubjectPlan:
    (folder / "net.py").write_text(PROJECTED)
    settings = config.load(None, ["data.name=digits", "data.image_size=12", f"model.name={folder / 'net.py'}:Net",
                                  "training.epochs=5", "training.batch_size=20", "training.learning_rate=0.5",
                                  *assignments])
    (plan,) = subject_plans(open_session(settings, str(folder / "run"), str(folder / "ckpt"), "test"))
    return plan


def test_answers_after_a_training_are_those_that_watched_it(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    recipe = plan.recipe()
    alike = TrainingTask(plan, HEADLINE, recipe, plan.settings(recipe))
    task = asked_aside(alike, "beside", np.arange(600), np.arange(600, 1000))
    asked = task.run()
    watched = task.training.run().metrics["history"][-1]["val_accuracy"]
    assert watched > 0.8, "a network that has learnt, or chance would agree with chance"
    assert asked.metrics["test_accuracy"]["value"] == watched


def test_what_the_improved_attack_sees_of_a_shadow_is_what_the_shadow_answered(tmp_path: Path) -> None:
    planned = plan_membership(plan_of(
        tmp_path, "membership.attacks=[shadow,improved]", "membership.shadows=2", "membership.target_in=150",
        "membership.target_out=150", "membership.population=10", "membership.shadow_pool=500"))
    shadow = planned.shadows[0]
    assert isinstance(shadow, AskedTask)
    observer = Observer(planned)
    (seen, _), _ = observer.observed(observer.stages())
    np.testing.assert_allclose(seen.logits, shadow.run().arrays["logits"], rtol=1e-4, atol=1e-5)
