"""One optimizer over several processes."""


def multi_node_optimizer(optimizer, link, comm):
    """Set an optimizer up so that all processes make the same steps.

    The parameters of the first process are everyone's; each update uses the mean of all gradients. Unlike ChainerMN's
    own way, which spends the first update on handing out the parameters, every update counts: n processes with a batch
    of b each do what one does with n * b, as far as the loss is a mean over images.

    Args:
        optimizer (chainer.Optimizer): The optimizer, not yet set up.
        link (chainer.Link): What is trained.
        comm (chainermn.CommunicatorBase): ``chainermn.create_communicator('naive')`` on CPUs, ``'pure_nccl'`` on GPUs.

    Returns:
        chainer.Optimizer: The one to give to the updater; hooks are added to it.
    """
    import chainermn

    comm.bcast_data(link)
    optimizer = chainermn.create_multi_node_optimizer(optimizer, comm).setup(link)
    optimizer.is_changed(link)  # it now knows the parameters, and has nothing to hand out
    return optimizer
