class SGD:
    def __init__(self, lr, momentum):
        self.lr, self.momentum = lr, momentum
