"""The processes that a command shares its work with."""

import argparse
import contextlib
import sys
import time
import traceback
from collections.abc import Iterator

from chainfpn._typing import Communicator
from chainfpn.cli.errors import CommandError

#: Seconds that all processes but the first wait before they report what went wrong: mostly it is the same everywhere.
_PATIENCE = 1


@contextlib.contextmanager
def communicator(arguments: argparse.Namespace, *, nccl: bool = False) -> Iterator[Communicator]:
    """Meet the other processes of ``mpiexec`` while a block runs.

    A process whose block fails prints why and ends all of them, with status 1: the others would wait for it forever.

    Args:
        arguments (argparse.Namespace): With ``mpi`` and ``command``.
        nccl (bool): Sum gradients from GPU to GPU.

    Yields:
        chainermn.CommunicatorBase or None: None if there are none to meet.

    Raises:
        CommandError: if there is no MPI, or no NCCL where it is needed.
    """
    if not arguments.mpi:
        yield None
        return
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        problem = f"--mpi needs mpi4py and an MPI ({error})"
        raise CommandError(f"{problem}; docs/training.md says how to install it") from None
    with _one_fate(MPI.COMM_WORLD, arguments.command):
        yield _communicator(nccl)


def _communicator(nccl):
    import chainermn

    if not nccl:
        return chainermn.create_communicator("naive")
    try:
        return chainermn.create_communicator("pure_nccl")
    except RuntimeError as error:
        raise CommandError(f"--mpi on GPUs needs a CuPy that has NCCL ({error})") from None


@contextlib.contextmanager
def _one_fate(world, command):
    """End all processes if a block fails in one of several."""
    try:
        yield
    except BaseException as error:
        if world.size == 1:
            raise
        if world.rank != 0:
            time.sleep(_PATIENCE)
        if isinstance(error, CommandError):
            print(f"chainfpn {command}: {error}", file=sys.stderr)
        elif not isinstance(error, KeyboardInterrupt | BrokenPipeError):
            traceback.print_exc()
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
        sys.stderr.flush()
        world.Abort(1)
