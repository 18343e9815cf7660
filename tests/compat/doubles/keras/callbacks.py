class Callback:
    model = None
