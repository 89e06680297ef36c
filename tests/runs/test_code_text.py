"""The text of source code holds what can change a computation, and nothing else."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindleak.runs.code_text import cpp_code, python_code

BETWEEN_LINES = st.sampled_from(["", "\n", "# why\n", "\n\n# why, and more\n\n"])
BEHIND_A_LINE = st.sampled_from(["", "  ", "  # why"])
IN_BRACKETS = st.sampled_from(["", " ", "\n", "  # why\n", "\n        # why\n"])
DOCSTRING = st.sampled_from(["", '"""What it is for."""', 'r"""Another\n    of several lines.\n    """'])

MODULE = """{doc0}
{line0}import math{end0}
{line1}class Scale:{end1}
    {doc1}
    factor = ({gap0}2{gap1} * 3){end2}
    def of(self, value,{gap2} power=1.5):{end3}
        {doc2}
        return math.pow({gap3}self.factor *{gap4} value,{gap5} power){end4}
"""
STATEMENTS = st.sampled_from([
    "x = 1", "x = 2", "x = 1.0", "x = True", "x = None", "x = '1'", "x = b'1'", "x: int = 1", "x: int", "x += 1",
    "x -= 1", "y = 1", "x = 1 + 2 * 3", "x = (1 + 2) * 3", "x = -1", "x = not 1", "f(x)", "f(*x)", "f(x=1)", "f(**x)",
    "x = [1, 2]", "x = (1, 2)", "x = {1, 2}", "x = {1: 2}", "x = {**y}", "x = lambda: 1", "x = lambda y: 1",
    "x = f'{y}'", "x = f'{y!r}'", "x = f'{y:.2f}'", "x = 'a' 'b'", "x = a.b", "x = a[b]", "x = a[b:]", "x = a[:b]",
    "del x", "import x", "import x as y", "from x import y", "from . import y", "from .x import y", "if x: y",
    "if x: y\nelse: z", "while x: y", "for x in y: z", "def f(): return 1", "def f(x): return 1",
    "def f(x=1): return 1", "async def f(): return 1", "class C: x = 1", "with x: y", "with x as y: z",
    "try: x\nexcept Y: z", "try: x\nfinally: z", "assert x", "raise x", "'only text'",
])  # fmt: skip


@given(st.fixed_dictionaries({
    **{f"doc{number}": DOCSTRING for number in range(3)}, **{f"line{number}": BETWEEN_LINES for number in range(2)},
    **{f"end{number}": BEHIND_A_LINE for number in range(5)}, **{f"gap{number}": IN_BRACKETS for number in range(6)},
}))
def test_comments_docstrings_and_layout_are_not_in_it(parts: dict[str, str]) -> None:
    plain = MODULE.format(**dict.fromkeys(parts, ""))
    assert python_code(MODULE.format(**parts).encode())[0] == python_code(plain.encode())[0]


@given(st.lists(STATEMENTS, min_size=1, max_size=3), st.lists(STATEMENTS, min_size=1, max_size=3))
def test_texts_agree_exactly_when_the_code_does(first: list[str], second: list[str]) -> None:
    # A statement in front, or the first text of all would be a docstring.
    sources = ["\n".join(["import x", *statements]) for statements in (first, second)]
    texts = [python_code(source.encode())[0] for source in sources]
    trees = [ast.dump(ast.parse(source)) for source in sources]
    assert (texts[0] == texts[1]) == (trees[0] == trees[1])


def test_what_is_nested_is_told_from_what_follows() -> None:
    sources = ["def f():\n    def g(): x\n    y", "def f():\n    def g():\n        x\n        y",
               "f(g(x), y)", "f(g(x, y))"]
    assert len({python_code(source.encode())[0] for source in sources}) == len(sources)


def test_a_text_that_is_no_docstring_counts() -> None:
    assert python_code(b"x = 1\n'one'")[0] != python_code(b"x = 1\n'two'")[0]
    assert python_code(b"if x:\n    'one'")[0] != python_code(b"if x:\n    'two'")[0]


SAME_CPP = [
    ("a = b; // why", "a = b;"),
    ("a = b; // why \\\n goes on here\nc;", "a = b;\nc;"),
    ("a = /* why,\n at length */ b;", "a = b;"),
    ("\n\n  a = b;   \n\n\tc;\n", "a = b;\nc;"),
    ("x = \"//\"; // it's", 'x = "//";'),
    ("x = '\"'; // why\ny;", "x = '\"';\ny;"),
    ("n = 1'000'000; // the model's", "n = 1'000'000;"),
    ("// LeNet5's block\nx = '/'; // \"", "x = '/';"),
    ("s = R\"(a\"b//c)\"; // why", "s = R\"(a\"b//c)\";"),
]
OTHER_CPP = [
    ("a + b", "a - b"),
    ("a = b;", "a = 2 * b;"),
    ('x = "a//b";', 'x = "a//c";'),
    ('x = "/* a */";', 'x = "/* b */";'),
    ("x = R\"(a\"b//c)\";", "x = R\"(a\"b//d)\";"),
    ("x = R\"end(a)\"//b)end\";", "x = R\"end(a)\"//c)end\";"),
    ('x = "\\"//a";', 'x = "\\"//b";'),
    ("c = '\\''; d = '\\\\'; // e", "c = '\\''; d = '\\''; // e"),
    ("n = 0x1'0; s = '//';", "n = 0x1'0; s = '/*';"),
    ("#define F(x) x", "#define F (x) x"),
    ("#define F\nx", "#define F x"),
    ("#define F /*\n*/ 1", "#define F\n1"),
    ("ab", "a b"),
    ('x = "a  b";', 'x = "a b";'),
]


@pytest.mark.parametrize(("first", "second"), SAME_CPP)
def test_comments_and_white_space_of_cpp_do_not_count(first: str, second: str) -> None:
    assert cpp_code(first.encode()) == cpp_code(second.encode())


@pytest.mark.parametrize(("first", "second"), OTHER_CPP)
def test_code_of_cpp_counts(first: str, second: str) -> None:
    assert cpp_code(first.encode()) != cpp_code(second.encode())
