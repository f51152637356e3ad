"""Follow README word for word in an empty environment, and the pages of recipes in another.

In a clean clone of HEAD: ``make wheels``, then for each group of pages a new virtual environment with what the page
says to install and nothing else, in which every command and snippet runs. Run it with the interpreter that is to be
tried; pip uses the network.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import venv

ROOT = pathlib.Path(__file__).resolve().parents[1]

#: What is installed, and the pages that run with it.
ENVIRONMENTS = (
    ("cpu", ("README.md", "docs/first.md", "docs/migrate.md", "docs/detect.md")),
    (
        "cpu,coco,plot",
        (
            "docs/custom.md",
            "docs/loops.md",
            "docs/models.md",
            "docs/datasets.md",
            "docs/evaluate.md",
            "docs/how_it_works.md",
        ),
    ),
)


def main() -> None:
    """Build, install, follow."""
    with tempfile.TemporaryDirectory(prefix="follow-pages-") as folder:
        clone = pathlib.Path(folder) / "chainfpn"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        subprocess.run(["make", "--silent", "wheels", f"PYTHON={sys.executable}"], cwd=clone, check=True)
        for extras, pages in ENVIRONMENTS:
            builder = venv.EnvBuilder(with_pip=True)
            home = pathlib.Path(folder) / f"env-{extras.replace(',', '-')}"
            builder.create(home)
            python = builder.ensure_directories(home).env_exe
            print(f"== pip install 'chainfpn[{extras}]'", flush=True)
            install = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--find-links", "dist"]
            subprocess.run([*install, f"chainfpn[{extras}]"], cwd=clone, check=True)
            environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
            environment |= {"HOME": folder, "CHAINFPN_ZOO_URL": "http://127.0.0.1:9/", "PYTHONSAFEPATH": "1"}
            subprocess.run([python, "scripts/pages.py", *pages], cwd=clone, env=environment, check=True)


if __name__ == "__main__":
    main()
