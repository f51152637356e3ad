"""A link's ``forward`` says the shape of every array that it makes and names: its docstring, or a comment."""

import ast
import io
import pathlib
import re
import tokenize

import pytest

import chainfpn.links

FOLDER = pathlib.Path(chainfpn.links.__file__).parent
FILES = {path.relative_to(FOLDER).as_posix(): path for path in sorted(FOLDER.rglob("*.py"))}

#: A shape in a comment, such as ``(B, C, H/2, W/2)`` or ``(R',)``.
SHAPE = re.compile(r"\([^()]*,")


def unsaid(source):
    """Find the statements of every public class's ``forward`` that name a new array and say no shape on the last line.

    Those are assignments of what a call or an operator gives, and calls of a method, such as append, with what a call
    gives. What is returned is in the docstring, and what becomes of an array under its old name has its shape.
    Conditions, loops, new objects, and what only passes on what has a name need no comment.
    """
    comments = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    statements = (node for method in forwards(source) for node in ast.walk(method))
    lines = ((node.lineno, comments.get(node.end_lineno, "")) for node in statements if makes_array(node))
    return sorted(line for line, comment in lines if not SHAPE.search(comment))


def forwards(source):
    """Find the ``forward`` of every public class."""
    classes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef) and node.name[0] != "_")
    methods = (node for link in classes for node in link.body if isinstance(node, ast.FunctionDef))
    return [method for method in methods if method.name == "forward"]


def makes_array(node):
    """Return whether a statement makes an array and gives it a new name."""
    if isinstance(node, ast.Expr):
        values = node.value.args if isinstance(node.value, ast.Call) else []
    else:
        values = [node.value] if isinstance(node, ast.Assign) else []
    parts = [part for value in values if not makes_object(value) for part in ast.walk(value)]
    old = {part.id for part in parts if isinstance(part, ast.Name)}
    if isinstance(node, ast.Assign) and old & {ast.unparse(target) for target in node.targets}:
        return False
    return any(isinstance(part, (ast.Call, ast.BinOp)) for part in parts)


def makes_object(value):
    """Return whether a value is a new object of a class, by its name."""
    name = ast.unparse(value.func).rpartition(".")[2] if isinstance(value, ast.Call) else ""
    return name[:1].isupper()


@pytest.mark.parametrize("name", FILES)
def test_new_arrays_of_forward_have_shapes(name):
    assert unsaid(FILES[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", FILES)
def test_what_forward_takes_and_returns_has_shapes(name):
    for method in forwards(FILES[name].read_text(encoding="utf-8")):
        documentation = ast.get_docstring(method)
        if "see :meth:`" in documentation:
            continue
        if "\n" in documentation:
            _, arguments, returns = re.split("Args:|Returns:", documentation)
        else:  # "Compute the block: (B, C, H, W) to (B, D, H, W)."
            arguments, _, returns = documentation.rpartition(" to ")
        assert SHAPE.search(arguments)
        assert SHAPE.search(returns) or re.search("shape|size|RawDetections", returns)


def test_what_names_a_new_array_by_hand():
    source = '''
class Link:
    def forward(self, x):
        """Say nothing (B, C)."""
        hs, first = [], True
        self.prepare()
        if x.ndim == 4:
            h = self.conv(x)
            h = self.conv(x)  # (B, C, H, W)
            h += x
            h = x + h  # of the same size
            y = x + h  # of the same size
            hs.append(self.conv(h))
            hs.append(h)
        for layer in reversed(self.layers()):
            x = [
                layer(h) for h in hs  # (B, C, H, W)
            ]
            x = [
                layer(h) for h in hs
            ]  # levels of (B, C)
        node = functions.Node(len(hs))
        return hs if first else (self.conv(h), h)

    def logits(self, x):
        return self.conv(x)


class _Node:
    def forward(self, x):
        return self.conv(x)
'''
    assert unsaid(source) == [8, 12, 13, 16]
