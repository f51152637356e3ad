"""The command line, as ``python -m chainfpn``."""

import sys

from chainfpn.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
