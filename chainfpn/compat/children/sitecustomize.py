"""Bring the import hook into every Python that a program run by ``python -m chainfpn.compat`` starts.

The folder of this file is on their ``PYTHONPATH``. A ``sitecustomize`` of the user's own is imported as well.
"""

import os
import sys

if __name__ == "sitecustomize":
    _folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != _folder]
    with open(os.path.join(_folder, "chainfpn_compat.pth"), encoding="utf-8") as _file:
        exec(_file.read())
    _root = os.path.dirname(os.path.dirname(os.path.dirname(_folder)))
    if _root not in sys.path:
        sys.path.append(_root)
    _this = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = _this
