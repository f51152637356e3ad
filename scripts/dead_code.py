"""Name functions, methods, properties, classes and imports that nothing uses, and code that is never reached.

    python scripts/dead_code.py

Vulture finds them; builders, which the registry finds by their names, and what others call are left out. Attributes and
variables are not looked at: those of links are torchvision's names, and many are set for Chainer or ONNX Runtime.
Status 1 if there is any.
"""

import pathlib
import sys

from vulture import Vulture

from chainfpn import models

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ("chainfpn", "weights_convert", "benchmarks", "scripts", "examples", "tests")

#: Who calls what we define, and never ourselves; patterns as in a shell.
CALLED = {
    "Python and its library": ["__getattr__", "create_module", "do_GET", "do_HEAD", "log_message"],
    "Chainer and ChainerCV": [
        "check_type_forward", "forward_gpu", "forward_postprocess", "forward_preprocess", "get_example",
        "get_example_by_keys", "get_training_length", "reduced_view", "update_core",
    ],
    "tqdm": ["on_start", "on_end"],
    "pytest": ["pytest_*"],
    "MkDocs and griffe": ["on_config", "on_files", "on_page_markdown", "on_package", "DocstringStyle"],
    "kernels, by the name of the operation": ["ps_*_forward", "ps_*_backward"],
    "programs in strings, run by other interpreters": [
        "enable_patches_but", "fill_module", "leave_out", "skip_initial_values", "without_metadata",
    ],
}  # fmt: skip


def main() -> int:
    """Print what is dead; return the status."""
    names = [name for names in CALLED.values() for name in names]
    vulture = Vulture(ignore_names=[*models.MODELS, *names], ignore_decorators=["@pytest.fixture", "@*.register*"])
    vulture.scavenge([ROOT / folder for folder in FOLDERS])
    dead = [item for item in vulture.get_unused_code() if item.typ not in ("attribute", "variable")]
    for item in dead:
        print(f"{item.filename.relative_to(ROOT)}:{item.first_lineno}: unused {item.typ} {item.name}")
    return bool(dead)


if __name__ == "__main__":
    sys.exit(main())
