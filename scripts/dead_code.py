"""Name functions, methods, classes, imports and variables that nothing uses, and code that is never reached.

    python scripts/dead_code.py

Vulture finds them; builders and their options, which the registry finds by their names, and what others call or read
are left out. Attributes are not looked at: those of links are torchvision's names, and many are set for Chainer or
ONNX Runtime; nor are arguments, which are those of a protocol. Status 1 if there is any.
"""

import pathlib
import sys

from vulture import Vulture
from vulture.core import Item

from chainfpn import models

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ("chainfpn", "weights_convert", "benchmarks", "scripts", "examples", "tests")

#: Who calls or reads what we define, and never ourselves; patterns as in a shell.
CALLED = {
    "Python and its library": ["__getattr__", "create_module", "do_GET", "do_HEAD", "log_message"],
    "Chainer and ChainerCV": [
        "backward_accumulate", "check_type_forward", "default_name", "forward_gpu", "forward_postprocess",
        "forward_preprocess", "get_example", "get_example_by_keys", "get_training_length", "priority", "reduced_view",
        "timing", "update_core",
    ],
    "tqdm": ["on_start", "on_end"],
    "pytest": ["collect_ignore", "pytest_*", "pytestmark"],
    "MkDocs and griffe": ["on_config", "on_files", "on_page_*", "on_package", "DocstringStyle"],
    "kernels, by name or place": ["compute_capability", "n_together", "ps_*_backward", "ps_*_forward"],
    "programs in strings, run by other interpreters": [
        "enable_patches_but", "fill_module", "leave_out", "skip_initial_values", "without_metadata",
    ],
}  # fmt: skip


def is_argument(item: Item) -> bool:
    """Return whether an item is an argument, of which Vulture is sure that the function does not read it."""
    return item.typ == "variable" and item.confidence == 100


def main() -> int:
    """Print what is dead; return the status."""
    names = [name for names in CALLED.values() for name in names]
    names += [name for record in models.MODELS.values() for name in (record.name, *record.options)]
    vulture = Vulture(ignore_names=names, ignore_decorators=["@pytest.fixture", "@*.register*", "@register_*"])
    vulture.scavenge([ROOT / folder for folder in FOLDERS])
    dead = [item for item in vulture.get_unused_code() if item.typ != "attribute" and not is_argument(item)]
    for item in dead:
        print(f"{item.filename.relative_to(ROOT)}:{item.first_lineno}: unused {item.typ} {item.name}")
    return bool(dead)


if __name__ == "__main__":
    sys.exit(main())
