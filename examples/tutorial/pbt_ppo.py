"""Population based training of PPO, which RLlib runs: weights and hyperparameters of the good agents spread.

Needs RLlib and MuJoCo: pip install "tunesmith[rllib]" "gymnasium[mujoco]"
Run it with:  python examples/tutorial/pbt_ppo.py [--smoke-test] [--env ENV] [--workers N] [--hours H]
"""

import argparse

import tunesmith as tune


def explore(config):
    """Keep the perturbed configuration valid: enough steps for two minibatches, and one pass at least."""
    config["train_batch_size"] = max(config["train_batch_size"], 2 * config["minibatch_size"])
    config["num_epochs"] = max(config["num_epochs"], 1)
    return config


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke-test", action="store_true", help="finish quickly")
    parser.add_argument("--env", default="Humanoid-v5", help="an environment that Gymnasium knows")
    parser.add_argument("--workers", type=int, default=0, help="processes that play, beside each agent's own")
    parser.add_argument("--hours", type=float, default=8.0, help="of training, of all agents together")
    args = parser.parse_args()
    small = args.smoke_test
    results = tune.run(
        "PPO",
        config={
            "env": args.env,
            "num_env_runners": args.workers,
            "kl_coeff": 1.0,
            "model_config": {"free_log_std": True},
            # These begin at a fixed value,
            "lambda_": 0.95,
            "clip_param": 0.2,
            "lr": 1e-4,
            # and these at one that is drawn.
            "num_epochs": tune.choice([1, 2] if small else [10, 20, 30]),
            "minibatch_size": tune.choice([64, 128] if small else [128, 512, 2048]),
            "train_batch_size": tune.choice([256, 512] if small else [10000, 20000, 40000]),
        },
        metric="episode_reward_mean",
        mode="max",
        num_samples=3 if small else 8,
        stop={"training_iteration": 3} if small else None,
        time_budget_s=args.hours * 3600,
        scheduler=tune.PopulationBasedTraining(
            time_attr="training_iteration" if small else "time_total_s",
            perturbation_interval=1 if small else 120,
            resample_probability=0.25,
            hyperparam_mutations={
                "lambda_": tune.uniform(0.9, 1.0),
                "clip_param": tune.uniform(0.01, 0.5),
                "lr": [1e-3, 5e-4, 1e-4, 5e-5, 1e-5],
                "num_epochs": tune.randint(1, 3 if small else 31),
                "minibatch_size": tune.randint(*((64, 129) if small else (128, 16385))),
                "train_batch_size": tune.randint(*((256, 513) if small else (2000, 160001))),
            },
            custom_explore_fn=explore,
        ),
        keep_checkpoints_num=2,
        checkpoint_at_end=True,
        seed=0,
    )
    for trial in results:
        for decided in trial.decisions:
            if decided.action == "clone":
                print(f"step {decided.iteration}: {trial.number} goes on from {decided.donor} with {decided.config}")
    best = results.best_trial
    print(f"best: {best.name} with {results.best_result['episode_reward_mean']:.1f}, saved in {best.checkpoint}")
