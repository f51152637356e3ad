"""The border of the package: what others may use, and that it needs nothing but NumPy."""

import ast
import inspect
import pathlib
import subprocess
import sys

import numpy as np

import weights_convert
from weights_convert import zoo

ROOT = pathlib.Path(weights_convert.__file__).parents[1]

#: Runs with everything blocked that the project depends on, except NumPy.
ALONE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"chainer", "chainercv", "numba", "PIL", "tqdm", "cupy", "torch", "matplotlib"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import weights_convert
from weights_convert import zoo
from weights_convert.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def imports_of(path):
    """Yield (module, name) of everything a file imports from this package."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "weights_convert":
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.startswith("weights_convert"))


def test_the_other_package_uses_only_what_is_public():
    used = {pair for path in (ROOT / "chainfpn").rglob("*.py") for pair in imports_of(path)}
    public = {("weights_convert", name) for name in (*weights_convert.__all__, "zoo", "")}
    public |= {("weights_convert.zoo", name) for name in vars(zoo) if not name.startswith("_")}
    assert used
    assert used <= public


def test_public_functions_are_typed_and_documented():
    functions = [getattr(weights_convert, name) for name in weights_convert.__all__]
    functions += [zoo.fetch, zoo.home, zoo.is_cached, zoo.remote_size]
    for function in filter(inspect.isfunction, functions):
        function = inspect.unwrap(function)
        signature = inspect.signature(function)
        assert signature.return_annotation is not signature.empty, function
        for name, parameter in signature.parameters.items():
            assert parameter.annotation is not parameter.empty, (function, name)
            assert f"{name}" in function.__doc__.partition("Args:")[2].partition("Returns:")[0], (function, name)


def test_it_converts_with_nothing_but_numpy(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"conv/W": rng.random((2, 3, 1, 1), "f4"), "conv/b": np.zeros(2, "f4")}
    weights_convert.write_npz(tmp_path / "a.npz", arrays)
    steps = (["a.npz", "b.pth"], ["b.pth", "c.safetensors"], ["c.safetensors", "d.npz"])
    for source, destination in steps:
        arguments = [tmp_path / source, tmp_path / destination, "--model", "any"]
        done = subprocess.run([sys.executable, "-c", ALONE, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "d.npz") as npz:
        np.testing.assert_array_equal(npz["conv/W"], arrays["conv/W"], strict=True)


def test_few_names_are_named():
    assert weights_convert.few(["a", "b", "c"]) == "a, b, c"
    assert weights_convert.few(list("abcdef")) == "a, b, c, d, e ..."
