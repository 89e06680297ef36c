"""What README and docs tell a reader to type."""

from __future__ import annotations

import re
import shlex

from paths import ROOT

# Pages in English, by page in Chinese; tests hold both to the same commands.
TRANSLATIONS = {"README.zh.md": "README.md", "docs/tutorial_suppress.zh.md": "docs/tutorial_suppress.md"}
PAGES = ("README.md", *sorted(name for path in (ROOT / "docs").glob("*.md")
                              if (name := str(path.relative_to(ROOT))) not in TRANSLATIONS))

# Whose commands build on one another; those of other pages are experiments by themselves.
GUIDE = "docs/usage.md"

# What the reader has before the example: a file with the network, its checkpoint, and the rows it was trained on.
OWN_MODEL = '''
import numpy as np
from mindspore import nn, save_checkpoint


class MyNet(nn.Cell):
    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.hidden = nn.Dense(784, 16)
        self.relu = nn.ReLU()
        self.head = nn.Dense(16, 10)

    def construct(self, x):
        return self.head(self.relu(self.hidden(self.flatten(x))))


if __name__ == "__main__":
    from mindspore import Tensor

    from mindleak.data.catalogue import load

    network, digits = MyNet(), load("digits", None, 28, "bilinear")
    hidden = network.relu(network.hidden(Tensor(digits.x_train.reshape(-1, 784)))).asnumpy()
    head = np.linalg.lstsq(hidden, 8 * np.eye(10)[digits.y_train], rcond=None)[0]
    network.head.weight.set_data(Tensor(np.ascontiguousarray(head.T, np.float32)))
    save_checkpoint(network, "my.ckpt")
    np.save("indices.npy", np.arange(0, 1297, 6))
'''


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def command_lines(page: str) -> list[list[str]]:
    """Every command line of a page in words, without comments, continuations and the dots of what is left open.

    Those in running text, which may be broken over lines, come after those in code blocks.
    """
    lines = [line for block in blocks(page, "bash") for line in block.replace("\\\n", " ").splitlines() if line.strip()]
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines += re.findall(r"`(mindleak [a-z ]+ -[^`]+)`", text)
    return [[word for word in shlex.split(line, comments=True) if word != "…"] for line in lines]


def commands(page: str, start: str = "mindleak") -> list[list[str]]:
    """The words after ``mindleak`` (or another start) of a page's command lines, each command once.

    What stands in capitals is the reader's to fill in: with anything but DATA, the folder, it is no whole command.
    """
    found = [words[words.index(start) + 1:] for words in command_lines(page)
             if start in words and not any("NAME" in word for word in words)]
    return [words for number, words in enumerate(found) if words not in found[:number]]


def documented() -> dict[str, list[list[str]]]:
    """The commands of every page but the README, whose commands are the guide's."""
    return {page: commands(page) for page in PAGES if page != "README.md"}
