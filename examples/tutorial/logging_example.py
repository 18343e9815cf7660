"""Loggers, one's own and those that are there, and names of one's own for the trials.

Run it with:  python examples/tutorial/logging_example.py [--smoke-test]
"""

import argparse

from sigmoid import SPACE, Sigmoid

import tunesmith as tune


class TestLogger(tune.TrialCallback):
    """Prints every result."""

    def on_trial_result(self, trial, result):
        print("TestLogger", result)


def trial_name(trial):
    """Return a name made of the trainable's and the trial's id."""
    return f"{trial.trainable_name}_{trial.trial_id}_123"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke-test", action="store_true", help="finish quickly")
    args = parser.parse_args()
    results = tune.run(
        Sigmoid,
        config=SPACE,
        metric="episode_reward_mean",
        mode="max",
        num_samples=2,
        stop={"training_iteration": 1 if args.smoke_test else 999},
        trial_name_creator=trial_name,
        callbacks=[TestLogger(), tune.CSVLogger(), tune.JSONLogger()],
        seed=0,
    )
    for trial in results:
        rows = (trial.path / "progress.csv").read_text().splitlines()
        print(f"{trial.name}: {len(rows) - 1} rows in {trial.path.name}/progress.csv")
