"""What the benchmarks share. The references of the tests can be imported once this is: ``reference.*``."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests"))
