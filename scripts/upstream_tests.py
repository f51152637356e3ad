"""Run Chainer's and ChainerCV's own tests under chainfpn.compat, on every Python here with old and new NumPy.

    python scripts/upstream_tests.py --chainer CHECKOUT --chainercv CHECKOUT
    python scripts/upstream_tests.py --chainer CHECKOUT --python 3.11 --numpy newest --jobs 1

The checkouts are those of github.com/chainer/chainer (v7.8.1) and github.com/chainer/chainercv (v0.13.1): the source
distributions on PyPI have no tests. The tests are copied, so that what is tested is what pip has installed. Prints a
table of what passed and failed, and a line for each kind of failure.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree

import interpreters

from chainfpn import install

ROOT = pathlib.Path(__file__).resolve().parents[1]
#: What the tests need besides the two packages.
REQUIREMENTS = (
    *("h5py", "matplotlib", "mock", "onnxruntime", "opencv-python-headless", "packaging"),
    # ONNX Runtime for Python 3.10 does not read the files of newer releases
    *("onnx<1.19; python_version < '3.11'", "onnx; python_version >= '3.11'"),
    *("Pillow", "protobuf", "pycocotools", "pytest", "pytest-xdist", "scipy", "tqdm"),
)
#: Folders of each checkout, and the marks of the tests that need what is not here.
SUITES = {
    "chainer": (
        ("tests/chainer_tests", "tests/onnx_chainer_tests"),
        "not (gpu or cudnn or ideep or chainerx or multi_gpu or theano or slow)",
    ),
    "chainercv": (("tests",), "not (gpu or mpi or disk or slow)"),
}
#: How the tests themselves spell what NumPy 1 and pytest 7 understood, and how it was meant: patterns of text.
SPELLINGS = {
    r"\b(np|numpy)\.(bool|int|float|object)\b": r"\2",
    r"\b(np|numpy)\.(Inf|infty)\b": r"\1.inf",
    r"\b(np|numpy)\.NaN\b": r"\1.nan",
    r"\b(np|numpy)\.product\b": r"\1.prod",
    r"\b(np|numpy)\.complex_\b": r"\1.complex128",
    r"\bnumpy\.fix\b": "numpy.trunc",
    r"\bpytest\.warns\(None\)": "__import__('warnings').catch_warnings(record=True)",
    r"self\.dtype\(self\.pad\)": "numpy.array(self.pad).astype(self.dtype)",  # -1 of an unsigned dtype
    r"float\(scaling \*\* self\.x\.shape\[1\]\)": "float((scaling ** self.x.shape[1]).item())",
    r"np\.array\(\[\[\[False(, False, True)?\], \[True, True\]\]\], dtype=bool\)": "np.ones((1, 2), dtype=bool)",
    r"\bloss_expect = 0\.0\b": "loss_expect = numpy.float64(0)",  # less a float16: once a float64
}
Outcome = collections.namedtuple("Outcome", "passed failed skipped why")


def run_suite(python, suite, checkout, folder, processes, pairwise, sample):
    """Run one suite in one environment.

    Args:
        python (pathlib.Path): The environment's interpreter.
        suite (str): A key of ``SUITES``.
        checkout (pathlib.Path): Its sources.
        folder (pathlib.Path): Where to work.
        processes (int): Of pytest.
        pairwise (bool): Chainer's own switch for fewer parameters.
        sample (int): Run one test of so many.

    Returns:
        Outcome: Its ``why`` counts the first line of each failure's message.
    """
    for name in ("tests", "setup.cfg"):
        if (checkout / name).is_dir():
            shutil.copytree(checkout / name, folder / name)
        elif (checkout / name).exists():
            shutil.copy(checkout / name, folder)
    for path in folder.glob("tests/**/*.py"):
        text = path.read_text(encoding="utf-8")
        for old, new in SPELLINGS.items():
            text = re.sub(old, new, text)
        path.write_text(text, encoding="utf-8")
    folders, marks = SUITES[suite]
    command = [
        *(python, "-m", "chainfpn.compat", "-m", "pytest", "-p", "upstream_plugin", "-p", "no:cacheprovider"),
        *("-q", "-m", marks, "--tb=short", "--continue-on-collection-errors", f"--junitxml={folder / 'result.xml'}"),
        *(f"--numprocesses={processes}",) * (processes > 1),
        *(path for path in folders if (folder / path).exists()),
    ]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "scripts"), os.environ.get("PYTHONPATH")])),
        "CHAINER_TEST_PAIRWISE_PARAMETERIZATION": "always" if pairwise else "never",
        "MPLBACKEND": "Agg",
        "UPSTREAM_TESTS_SAMPLE": str(sample),
    }
    with open(folder / "output.txt", "w", encoding="utf-8") as output:
        subprocess.run(list(map(str, command)), cwd=folder, env=environment, stdout=output, stderr=output)
    return read_result(folder / "result.xml")


def read_result(path):
    """Return the Outcome that a JUnit file tells of."""
    cases = list(xml.etree.ElementTree.parse(path).iter("testcase"))
    failures = [(case, child) for case in cases for child in case if child.tag in ("failure", "error")]
    skipped = sum(child.tag == "skipped" for case in cases for child in case)
    why = collections.Counter(reason(case, failure) for case, failure in failures)
    return Outcome(len(cases) - len(failures) - skipped, len(failures), skipped, why)


def reason(case, failure):
    """Return a line: the test without its parameters, where it failed, and with what error."""
    name = re.sub(r"_param_.*|_use_\w+?__.*", "", (case.get("classname") or case.get("name")).rpartition("tests.")[2])
    text = failure.text or ""
    where = re.findall(r"^\S*?([\w/]+\.py:\d+): in", text, re.MULTILINE)
    errors = re.findall(r"^E +(\w[\w.]*(?:Error|Warning|Exception)\b.*)", text, re.MULTILINE)
    error = re.sub(r"0x[0-9a-f]+", "0x...", (errors or [failure.get("message") or "?"])[-1].splitlines()[0])
    return f"{name} at {where[-1] if where else '?'}: {error[:150]}"


def main():
    """Make the environments, run the suites in them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chainer", type=pathlib.Path, metavar="DIR", help="a checkout of Chainer")
    parser.add_argument("--chainercv", type=pathlib.Path, metavar="DIR", help="a checkout of ChainerCV")
    parser.add_argument("--python", action="append", metavar="VERSION", help="3.11, say; all that are found by default")
    parser.add_argument("--numpy", choices=["oldest", "newest"], help="both by default")
    parser.add_argument("--pairwise", action="store_true", help="fewer parameters: Chainer's switch for a quick run")
    parser.add_argument("--sample", type=int, default=1, metavar="N", help="run one test of N")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="environments at a time (default: %(default)s)"
    )
    parser.add_argument("--processes", type=int, default=1, help="of pytest in each (default: %(default)s)")
    parser.add_argument("--wheels", type=pathlib.Path, metavar="DIR", help="where chainfpn.install put its wheels")
    parser.add_argument("--work", type=pathlib.Path, metavar="DIR", help="keep environments and results here")
    arguments = parser.parse_args()
    checkouts = {suite: getattr(arguments, suite) for suite in SUITES if getattr(arguments, suite)}
    if not checkouts:
        parser.error("name a checkout: --chainer, --chainercv or both")
    with tempfile.TemporaryDirectory(prefix="upstream-tests-") as temporary:
        work = (arguments.work or pathlib.Path(temporary)).resolve()
        chainer_wheels = arguments.wheels or pathlib.Path(temporary) / "chainer"
        if arguments.wheels is None:
            install.build(chainer_wheels)
        wheels = [*chainer_wheels.glob("*.whl"), interpreters.build_wheel(ROOT, pathlib.Path(temporary))]

        def run(version, python, numpy):
            name = f"python{version}-{re.sub('[^0-9.]', '', numpy).strip('.') or 'newest'}"
            executable = interpreters.make_environment(python, work / name, [*wheels, numpy, *REQUIREMENTS])
            interpreters.pip_install(executable, "--force-reinstall", "--no-deps", wheels[-1])
            installed = interpreters.run([executable, "-c", "import numpy; print(numpy.__version__)"])
            for suite, checkout in checkouts.items():
                folder = work / f"{name}-{suite}"
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                options = arguments.processes, arguments.pairwise, arguments.sample
                outcome = run_suite(executable, suite, checkout, folder, *options)
                yield version, installed, suite, outcome

        pythons = interpreters.find_interpreters()
        kinds = {"oldest": slice(0, 1), "newest": slice(1, 2), None: slice(0, 2)}[arguments.numpy]
        tasks = [
            (version, pythons[version], numpy)
            for version in arguments.python or pythons
            for numpy in interpreters.numpy_requirements(version)[kinds]
        ]
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            rows = [row for rows in pool.map(lambda task: list(run(*task)), tasks) for row in rows]
    print("| Python | NumPy | tests of | passed | failed | skipped |\n|---|---|---|---|---|---|")
    for version, numpy, suite, outcome in rows:
        print(f"| {version} | {numpy} | {suite} | {outcome.passed:,} | {outcome.failed} | {outcome.skipped:,} |")
    for version, numpy, suite, outcome in rows:
        for line, count in sorted(outcome.why.items()):
            print(f"- Python {version}, NumPy {numpy}, {suite}, {count}: {line}")


if __name__ == "__main__":
    main()
