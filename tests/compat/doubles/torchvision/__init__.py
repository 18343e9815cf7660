"""A double of torchvision: what two scripts of 2019 take from it, with a few pictures that were drawn here."""
