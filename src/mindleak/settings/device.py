"""Where a run is computed."""

from __future__ import annotations

from dataclasses import dataclass

from mindleak.settings.fields import Section, setting

TARGETS = ("CPU", "GPU", "Ascend", "auto")
KERNELS = ("auto", "mindspore", "native")


@dataclass(frozen=True)
class Device(Section):
    """Where the run is computed."""

    target: str = setting("CPU", "the kind of device; auto: the first of Ascend, GPU, CPU that works",
                          choices=TARGETS)
    id: int = setting(0, "number of the card; ignored on CPU and under msrun", most=65_535, of_run=False)
    threads: int = setting(0, "CPU threads for operators; 0: MindSpore's choice", least=0, most=4_096,
                         hint="0 being MindSpore's choice", of_run=False)
    kernels: str = setting("auto", "mindspore: MindSpore's operators only; native: this project's kernels for CPU; "
                           "auto: these where they can be had", choices=KERNELS, of_run=False)
    data_parallel: bool = setting(False, "the processes of an msrun job share every batch of one training instead of "
                                  "dealing trainings out among them", of_run=False)
