"""The command line, as ``python -m chainfpn``."""

import sys

from chainfpn._console import chainfpn

if __name__ == "__main__":
    sys.exit(chainfpn())
