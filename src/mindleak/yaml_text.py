"""YAML read as what it says, and refused where it would do harm: no objects, no bombs, no endless numbers."""

from __future__ import annotations

from typing import Any

import yaml

from mindleak.errors import InputError

# A configuration holds hundreds of values; aliases of aliases can stand for more than any memory holds.
_MOST_VALUES = 100_000
_DEEPEST = 50
# Beyond 64 bits no number of anything can be meant, and writing one out takes Python forever.
_LARGEST = 2**63 - 1


class _Loader(yaml.SafeLoader):
    """The safe loader, which also refuses keys that stand twice, what unfolds without end, and endless numbers."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Compose a mapping, its own keys all different; those merged in by ``<<`` may be overridden."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key '{key.value}' stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return node

    def fetch_flow_collection_start(self, token: Any) -> None:
        """Begin a list or section in brackets, unless too many lie around it: PyYAML's time grows with their square."""
        self._check_depth(self.flow_level)
        super().fetch_flow_collection_start(token)

    def add_indent(self, column: int) -> Any:
        """Begin a list or section by its indentation, unless too many lie around it."""
        self._check_depth(len(self.indents))
        return super().add_indent(column)

    def _check_depth(self, depth: int) -> None:
        if depth > _DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"lies in more than {_DEEPEST} sections or lists",
                                       problem_mark=self.get_mark())

    def get_single_node(self) -> Any:
        """Compose the document and count what its aliases stand for, before any of it is made."""
        node = super().get_single_node()
        if node is not None:
            _unfolded(node, {}, set())
        return node

    def construct_yaml_int(self, node: Any) -> Any:
        """Make a whole number that fits in 64 bits."""
        text = self.construct_scalar(node)
        # Python itself refuses decimal numbers of many digits, but neither hexadecimal nor binary ones.
        if len(text) > 100 or not -_LARGEST <= (number := super().construct_yaml_int(node)) <= _LARGEST:
            raise yaml.MarkedYAMLError(problem=f"the whole number {text} is larger than any that could be meant; "
                                               f"expected at most {_LARGEST}", problem_mark=node.start_mark)
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def parse_yaml(text: str, complaint: str) -> Any:
    """Parse YAML without ever making an object of another class.

    Raises:
        InputError: what is wrong where, behind ``complaint``.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise InputError(f"{complaint}: {place}{error.problem}") from error
    # A value unfit for its tag makes the safe loader raise whatever int(), date() or a look-up raises.
    except Exception as error:
        raise InputError(f"{complaint}: {' '.join(str(error).split())}") from error


def _unfolded(node: Any, sizes: dict[int, int], above: set[int]) -> int:
    """Return of how many values a node consists where every alias is written out.

    Raises:
        yaml.MarkedYAMLError: of more than a configuration could have, or it contains itself.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in above:
        raise yaml.MarkedYAMLError(problem="a section or list contains itself", problem_mark=node.start_mark)
    if id(node) not in sizes:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        above.add(id(node))
        size = 1 + sum(_unfolded(part, sizes, above) for part in parts)
        above.remove(id(node))
        if size > _MOST_VALUES:
            raise yaml.MarkedYAMLError(problem=f"stands for more than {_MOST_VALUES:,} values with its aliases written "
                                               "out", problem_mark=node.start_mark)
        sizes[id(node)] = size
    return sizes[id(node)]
