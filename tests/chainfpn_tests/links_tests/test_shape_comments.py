"""Every line of a link's ``forward`` that makes an array says its shape."""

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
SHAPE = re.compile(r"#.*\([^()]*,")


def unsaid(source):
    """Find the statements of every public class's ``forward`` that make an array and whose last line names no shape.

    Those are assignments and returns of what a call or an operator gives, and calls of a method, such as append, with
    what a call gives. Conditions, loops, new objects, and what only passes on what has a name need no comment.
    """
    comments = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    classes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef) and node.name[0] != "_")
    methods = (node for link in classes for node in link.body if isinstance(node, ast.FunctionDef))
    statements = (node for method in methods if method.name == "forward" for node in ast.walk(method))
    lines = ((node.lineno, comments.get(node.end_lineno, "")) for node in statements if makes_array(node))
    return sorted(line for line, comment in lines if not SHAPE.match(comment))


def makes_array(node):
    """Tell whether a statement makes an array."""
    if isinstance(node, ast.AugAssign):
        return True
    if isinstance(node, ast.Expr):
        values = node.value.args if isinstance(node.value, ast.Call) else []
    else:
        values = [node.value] if isinstance(node, (ast.Assign, ast.Return)) and node.value is not None else []
    parts = (part for value in values if not makes_object(value) for part in ast.walk(value))
    return any(isinstance(part, (ast.Call, ast.BinOp)) for part in parts)


def makes_object(value):
    """Tell whether a value is a new object of a class, by its name."""
    name = ast.unparse(value.func).rpartition(".")[2] if isinstance(value, ast.Call) else ""
    return name[:1].isupper()


@pytest.mark.parametrize("name", FILES)
def test_every_line_of_forward_says_its_shape(name):
    assert unsaid(FILES[name].read_text(encoding="utf-8")) == []


def test_what_is_a_line_of_forward_by_hand():
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
    assert unsaid(source) == [8, 10, 11, 12, 15, 22]
