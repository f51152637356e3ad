"""Where trained weights, photographs and small datasets lie that are not part of the repository."""

import os
import pathlib

SHARED_DATA = pathlib.Path(
    os.environ.get("CHAINFPN_SHARED_DATA", pathlib.Path(__file__).parents[3] / "shared" / "data")
)
