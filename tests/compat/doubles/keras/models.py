import math


class Sequential:
    def __init__(self):
        self.layers = []

    def add(self, layer):
        self.layers.append(layer)

    def compile(self, loss, optimizer, metrics):
        self.optimizer = optimizer

    def fit(self, x, y, batch_size, epochs, verbose, validation_data, callbacks):
        step, logs = 0, {}
        for _ in range(epochs):
            for batch in range(len(x) // batch_size):
                step += 1
                logs = {"acc": 0.98 * math.tanh(step * self.optimizer.lr)}
                for callback in callbacks:
                    callback.on_batch_end(batch, logs)
        for callback in callbacks:
            callback.on_train_end(logs)
