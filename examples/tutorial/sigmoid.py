"""A stand-in for training: its reward grows with every step, to a height and with a slowness that are drawn."""

import json
from math import tanh
from pathlib import Path

import tunesmith as tune

SPACE = {"width": tune.randint(10, 100), "height": tune.randint(0, 100)}


class Sigmoid(tune.Trainable):
    """Reports ``height * tanh(step / width)``."""

    def setup(self, config):
        self.width, self.height = config["width"], config["height"]
        self.timestep = 0

    def step(self):
        self.timestep += 1
        return {"episode_reward_mean": self.height * tanh(self.timestep / self.width)}

    def save_checkpoint(self, checkpoint_dir):
        Path(checkpoint_dir, "state.json").write_text(json.dumps({"timestep": self.timestep}))

    def load_checkpoint(self, checkpoint_dir):
        self.timestep = json.loads(Path(checkpoint_dir, "state.json").read_text())["timestep"]
