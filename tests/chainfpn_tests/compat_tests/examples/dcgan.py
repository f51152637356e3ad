"""Two networks against each other with an updater of their own, as in Chainer's examples/dcgan/train_dcgan.py."""

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
from chainer import training


def generator():
    return chainer.Sequential(
        L.Linear(4, 8 * 4 * 4),
        lambda h: F.reshape(h, (len(h), 8, 4, 4)),
        L.BatchNormalization(8),
        F.relu,
        L.Deconvolution2D(8, 3, 4, 2, 1, initialW=chainer.initializers.Normal(0.02)),
        F.sigmoid,
    )


def discriminator():
    return chainer.Sequential(L.Convolution2D(3, 8, 3, 2, 1), F.leaky_relu, L.Linear(None, 1))


class DCGANUpdater(training.updaters.StandardUpdater):
    """Updates both networks."""

    def update_core(self):
        gen, dis = self.get_optimizer("gen"), self.get_optimizer("dis")
        x_real = chainer.Variable(self.converter(self.get_iterator("main").next(), self.device)) / 255.0
        x_fake = gen.target(np.random.uniform(-1, 1, (len(x_real), 4)).astype(np.float32))
        y_real, y_fake = dis.target(x_real), dis.target(x_fake)
        loss_dis = F.sum(F.softplus(-y_real)) / len(x_real) + F.sum(F.softplus(y_fake)) / len(x_fake)
        gen.update(lambda: F.sum(F.softplus(-y_fake)) / len(x_fake))
        x_fake.unchain_backward()
        dis.update(lambda: loss_dis)
        chainer.report({"dis/loss": loss_dis})


def main():
    """Train for four iterations."""
    data = np.random.RandomState(0).uniform(0, 255, (16, 3, 8, 8)).astype(np.float32)
    optimizers = {}
    for name, network in (("gen", generator()), ("dis", discriminator())):
        optimizers[name] = chainer.optimizers.Adam(alpha=0.0002, beta1=0.5)
        optimizers[name].setup(network)
        optimizers[name].add_hook(chainer.optimizer_hooks.WeightDecay(0.0001), "hook_dec")
    updater = DCGANUpdater(iterator=chainer.iterators.SerialIterator(data, 4), optimizer=optimizers, device=-1)
    training.Trainer(updater, (4, "iteration"), out="result_dcgan").run()


if __name__ == "__main__":
    main()
