"""Random torchvision networks that behave like trained ones: run in the live interpreter, ahead of a snippet.

Fresh networks are useless for comparing detections: their scores are all alike, and nothing survives. These functions
give every normalization statistics that fit its input, disturbed at random, and scale the last layers until the
numbers they put out have a given spread.
"""

RANDOM_NETWORKS = '''
def settle(model, run, seed):
    """Give every batch normalization the statistics of its input on one run, disturbed, and random affine terms."""
    generator = torch.Generator().manual_seed(seed)
    def fit(module, inputs):
        x = inputs[0]
        module.running_mean.copy_(x.mean(dim=(0, 2, 3)))
        module.running_var.copy_(x.var(dim=(0, 2, 3)).clamp(min=1e-3))
        for name, spread in (("running_mean", 0.1), ("running_var", 0.3), ("weight", 0.2), ("bias", 0.2)):
            value = getattr(module, name).data
            noise = torch.randn(value.shape, generator=generator).to(value.dtype)
            if name == "running_mean":
                value += spread * noise * module.running_var.sqrt()
            elif name == "bias":
                value += spread * noise
            else:
                value *= torch.exp(spread * noise)
    norms = [m for m in model.modules() if hasattr(m, "running_var")]
    hooks = [m.register_forward_pre_hook(fit) for m in norms]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    for module in norms:
        module.weight.data *= 0.5  # as in trained networks, a block adds little to its input: errors do not grow


def spread(run, *targets):
    """Give each output of modules the mean 0 and, together, the given standard deviation over all calls in a run."""
    seen = {m: [] for m, _ in targets}
    hooks = [m.register_forward_hook(lambda m, i, o: seen[m].append(o.transpose(0, 1).flatten(1))) for m, _ in targets]
    with torch.no_grad():
        run()
        for module, target in targets:
            out = torch.cat(seen[module], dim=1)
            mean = out.mean(dim=1)
            scale = target / (out - mean[:, None]).std()
            module.weight *= scale
            module.bias.copy_((module.bias - mean) * scale)
    for hook in hooks:
        hook.remove()
'''
