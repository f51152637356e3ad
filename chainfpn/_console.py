"""Where the console commands begin: Ctrl-C may come while they are imported, too."""

from importlib import import_module


def chainfpn() -> int:
    """Run ``chainfpn``, see :func:`chainfpn.cli.main.main`; 130 after Ctrl-C: int."""
    return _run("chainfpn.cli.main")


def weights_convert() -> int:
    """Run ``weights-convert``, see :func:`weights_convert.__main__.main`; 130 after Ctrl-C: int."""
    return _run("weights_convert.__main__")


def _run(name: str) -> int:
    try:
        return import_module(name).main()
    except KeyboardInterrupt:
        return 130
