"""Programs that import Chainer and know nothing of chainfpn run, as do the processes that they start."""

import os
import pathlib
import subprocess
import sys
import sysconfig
import venv

import pytest

from reference.processes import mpiexec

pytestmark = pytest.mark.slow  # programs, each of which imports Chainer

ROOT = pathlib.Path(__file__).resolve().parents[3]

PROGRAM = """
import chainer  # first of all
import chainer.functions as F
import multiprocessing, subprocess, sys
import numpy as np

def put_sum(queue):
    queue.put(float(F.sum(np.ones(3, np.float32)).array))

if __name__ == "__main__":
    assert "chainfpn.models" not in sys.modules
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=put_sum, args=(queue,))
        process.start()
        assert queue.get(timeout=120) == 3
        process.join()
    code = "import chainercv, sys; print(chainercv.__version__, [path for path in sys.path if 'children' in path])"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (child.stdout, child.stderr) == ("0.13.1 []\\n", "")
    print(sys.argv)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Give the interpreter of a new environment that has what this one has, and no hook."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "these.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n{ROOT}\n")
    return folder / "bin" / "python"


@pytest.fixture
def program(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path / "program.py"


def run(*command, folder, **options):
    """Run a command; return what it prints, on standard error, too."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=folder, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_help_says_how(tmp_path):
    output = run(sys.executable, "-m", "chainfpn.compat", "--help", folder=tmp_path)
    assert "python -m chainfpn.compat script.py ARGUMENTS..." in output


def test_a_script_runs(program):
    arguments = ["-W", "error", "-m", "chainfpn.compat", "program.py", "-m", "text"]
    assert run(sys.executable, *arguments, folder=program.parent) == "['program.py', '-m', 'text']\n"


def test_a_module_finds_its_neighbours_and_ends_with_its_status(tmp_path):
    (tmp_path / "neighbour.py").write_text("import chainer")
    (tmp_path / "program.py").write_text("import neighbour, sys\nsys.exit(len(sys.argv))")
    for program in (["-m", "program", "text"], ["program.py", "text"]):
        assert subprocess.run([sys.executable, "-m", "chainfpn.compat", *program], cwd=tmp_path).returncode == 2


def test_a_sitecustomize_of_the_user_is_imported_in_child_processes(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("value = 3")
    (tmp_path / "program.py").write_text(
        "import subprocess, sys\n"
        "code = 'import sitecustomize, chainer; print(sitecustomize.value)'\n"
        "subprocess.run([sys.executable, '-c', code], check=True)"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    output = run(
        sys.executable,
        *("-m", "chainfpn.compat", "program.py"),
        folder=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert output == "3\n"


def test_the_hook_lets_a_program_run_unchanged(environment, program):
    def compat(action):
        return run(environment, "-m", "chainfpn", "compat", action, folder=program.parent)

    assert compat("status").startswith("not enabled")
    assert compat("enable") == compat("status") != ""
    assert compat("status").startswith("enabled by")
    output = run(environment, "-W", "error", "program.py", "text", folder=program.parent)
    assert output == "['program.py', 'text']\n"
    code = "import sys; print({'chainfpn', 'numpy', 'importlib.util'} & set(sys.modules))"
    assert run(environment, "-c", code, folder=program.parent) == "set()\n"  # nothing is imported before Chainer is
    for first in ("chainfpn", "chainer", "chainercv", "chainermn", "onnx_chainer.replace_func"):
        run(environment, "-c", f"import {first}, chainer, chainfpn, chainercv", folder=program.parent)
    assert compat("disable") == compat("status")
    assert compat("status").startswith("not enabled")
    done = subprocess.run([environment, "program.py"], cwd=program.parent, capture_output=True, text=True)
    assert (done.returncode, "AttributeError" in done.stderr or "ModuleNotFoundError" in done.stderr) == (1, True)


@pytest.mark.usefixtures("mpi")
def test_the_processes_of_mpiexec_have_the_same_chainer(tmp_path):
    (tmp_path / "program.py").write_text(
        "import chainermn\ncommunicator = chainermn.create_communicator('naive')\n"
        "print(communicator.allreduce_obj(communicator.rank))"
    )
    done = mpiexec(2, "-m", "chainfpn.compat", tmp_path / "program.py")
    assert done.stdout.count("1") == 2


def test_a_chainer_that_works_may_be_imported_before(tmp_path):
    code = """
import sys, chainfpn.compat, chainer  # as on a Python and NumPy that Chainer still knows
sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("chainfpn")]
for name in [name for name in sys.modules if name.startswith("chainfpn")]:
    del sys.modules[name]
import chainfpn, chainercv, numpy as np
categorical = chainer.distributions.Categorical(p=np.ones((1, 2), "f") / 2)
print(chainercv.__version__, categorical.log_prob(np.array([0])).array)
"""
    assert run(sys.executable, "-c", code, folder=tmp_path) == "0.13.1 [-0.6931472]\n"


EXAMPLES = ROOT / "tests" / "chainfpn_tests" / "compat_tests" / "examples"
#: Runs the examples one after the other, so that Chainer is imported once.
EVERY = f"""
import pathlib, runpy
for path in sorted(pathlib.Path({str(EXAMPLES)!r}).glob("*.py")):
    if path.name != "chainermn_mnist.py":
        runpy.run_path(str(path), run_name="__main__")
        print(path.name, "has run")
"""


@pytest.mark.parametrize("way", ["runner", pytest.param("hook", marks=pytest.mark.thorough)])
def test_scripts_like_chainers_examples_run(way, environment, tmp_path):
    (tmp_path / "every.py").write_text(EVERY)
    command = [sys.executable, "-W", "error", "-m", "chainfpn.compat"]
    if way == "hook":
        run(environment, "-m", "chainfpn", "compat", "enable", folder=tmp_path)
        command = [environment, "-W", "error"]
    output = run(*command, "every.py", folder=tmp_path)
    assert output.count("has run") == 5


@pytest.mark.usefixtures("mpi")
def test_a_script_like_chainermns_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = mpiexec(2, "-m", "chainfpn.compat", EXAMPLES / "chainermn_mnist.py")
    assert done.stdout.count("trained") == 2
