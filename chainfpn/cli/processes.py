"""The processes that a command shares its work with."""

from chainfpn.cli.errors import CommandError


def communicator(arguments):
    """Meet the other processes of ``mpiexec``.

    Args:
        arguments (argparse.Namespace): With ``mpi`` and ``device``.

    Returns:
        chainermn.CommunicatorBase or None: None if there are none to meet.

    Raises:
        CommandError: if there is no MPI.
    """
    if not arguments.mpi:
        return None
    import chainermn

    try:
        return chainermn.create_communicator("pure_nccl" if arguments.device.startswith("cuda") else "naive")
    except ImportError as error:
        raise CommandError(
            f"--mpi needs mpi4py and an MPI ({error}); docs/training.md says how to install it"
        ) from None


def own_device(name, comm):
    """Give each process of a machine its own GPU.

    Args:
        name (str): What the user called the device; ``'cuda'`` alone leaves the choice.
        comm (chainermn.CommunicatorBase or None): The processes.

    Returns:
        str: Name of this process's device.
    """
    return f"cuda:{comm.intra_rank}" if comm is not None and name == "cuda" else name
