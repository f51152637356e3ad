"""The processes that a command shares its work with."""

import contextlib
import sys
import time
import traceback

from chainfpn.cli.errors import CommandError

#: Seconds that all processes but the first wait before they say what went wrong: mostly it is the same everywhere.
_PATIENCE = 1


@contextlib.contextmanager
def communicator(arguments, *, nccl=False):
    """Meet the other processes of ``mpiexec`` while a block runs.

    A process whose block fails says why and ends all of them, with status 1: the others would wait for it forever.

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
        raise CommandError(
            f"--mpi needs mpi4py and an MPI ({error}); docs/training.md says how to install it"
        ) from None
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


def own_device(name, comm):
    """Give each process of a machine its own GPU.

    Args:
        name (str): What the user called the device; ``'cuda'`` alone leaves the choice.
        comm (chainermn.CommunicatorBase or None): The processes.

    Returns:
        str: Name of this process's device.
    """
    return f"cuda:{comm.intra_rank}" if comm is not None and name == "cuda" else name
