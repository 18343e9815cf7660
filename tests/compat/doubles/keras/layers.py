class Layer:
    def __init__(self, *arguments, **options):
        self.arguments, self.options = arguments, options


class Conv2D(Layer): ...


class Dense(Layer): ...


class Dropout(Layer): ...


class Flatten(Layer): ...


class MaxPooling2D(Layer): ...
