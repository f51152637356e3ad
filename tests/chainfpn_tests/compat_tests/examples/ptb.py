"""A recurrent language model with truncated backpropagation, as in Chainer's examples/ptb/train_ptb.py."""

import itertools

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
from chainer import training
from chainer.training import extensions


class RNN(chainer.Chain):
    """An embedding, an LSTM and a projection."""

    def __init__(self, n_vocab, n_units):
        super(RNN, self).__init__()  # noqa: UP008
        with self.init_scope():
            self.embed = L.EmbedID(n_vocab, n_units)
            self.lstm = L.LSTM(n_units, n_units)
            self.out = L.Linear(n_units, n_vocab)

    def reset_state(self):
        self.lstm.reset_state()

    def forward(self, x):
        return self.out(F.dropout(self.lstm(F.dropout(self.embed(x)))))


class BPTTUpdater(training.updaters.StandardUpdater):
    """An update for every few words."""

    def update_core(self):
        optimizer = self.get_optimizer("main")
        loss = 0
        for _ in range(5):
            x, t = self.converter(self.get_iterator("main").__next__(), self.device)
            loss += optimizer.target(x, t)
        optimizer.target.cleargrads()
        loss.backward()
        loss.unchain_backward()
        optimizer.update()


def main():
    """Train for an epoch, and evaluate the perplexity."""
    words = np.random.RandomState(0).randint(0, 20, 101).astype(np.int32)
    pairs = list(itertools.pairwise(words))
    model = L.Classifier(RNN(20, 8))
    model.compute_accuracy = False
    optimizer = chainer.optimizers.SGD(lr=1.0)
    optimizer.setup(model)
    optimizer.add_hook(chainer.optimizer_hooks.GradientClipping(5))
    updater = BPTTUpdater(chainer.iterators.SerialIterator(pairs, 10, shuffle=False), optimizer)
    trainer = training.Trainer(updater, (1, "epoch"), out="result_ptb")
    val_iter = chainer.iterators.SerialIterator(pairs, 1, repeat=False, shuffle=False)
    trainer.extend(
        extensions.Evaluator(val_iter, model.copy(), eval_hook=lambda _: model.predictor.reset_state()),
    )
    trainer.extend(extensions.LogReport(postprocess=lambda result: result.update(perplexity=result["main/loss"])))
    trainer.run()


if __name__ == "__main__":
    main()
