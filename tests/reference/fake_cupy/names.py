"""The names of a CuPy release: what it has not, the fake has not."""

import json
import os
import pathlib

#: Names the release whose names the fake has, "13" or "14".
VARIABLE = "CHAINFPN_FAKE_CUPY"

_NAMES = json.loads(
    pathlib.Path(__file__).with_name(f"names_{os.environ.get(VARIABLE, '14')}.json").read_text(encoding="utf-8")
)

VERSION = _NAMES["version"]
MODULE_NAMES, ARRAY_NAMES = frozenset(_NAMES["cupy"]), frozenset(_NAMES["ndarray"])

#: Parameters of functions.
SIGNATURES = _NAMES["signatures"]
