"""``tune.run``, ``run_experiments``, ``Experiment`` and what they are given (1.1, 1.2, 1.7, 1.8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.stage import HEAD, act, play


def test_the_arguments_are_in_the_order_of_2019(tmp_path: Path) -> None:
    body = """
import inspect
tell([[p.name for p in inspect.signature(f).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
      for f in (run, run_experiments, Experiment)])
"""
    run, run_experiments, experiment = act(tmp_path, body).told
    assert run == [
        "run_or_experiment",
        "name",
        "stop",
        "config",
        "resources_per_trial",
        "num_samples",
        "local_dir",
        "upload_dir",
        "trial_name_creator",
        "loggers",
        "sync_function",
        "checkpoint_freq",
        "checkpoint_at_end",
        "export_formats",
        "max_failures",
        "restore",
        "search_alg",
        "scheduler",
        "with_server",
        "server_port",
        "verbose",
        "resume",
        "queue_trials",
        "reuse_actors",
        "trial_executor",
        "raise_on_failed_trial",
    ]
    assert run_experiments == [
        "experiments",
        "search_alg",
        "scheduler",
        "with_server",
        "server_port",
        "verbose",
        "resume",
        "queue_trials",
        "reuse_actors",
        "trial_executor",
        "raise_on_failed_trial",
    ]
    assert experiment == [
        "name",
        "run",
        "stop",
        "config",
        "resources_per_trial",
        "num_samples",
        "local_dir",
        "upload_dir",
        "trial_name_creator",
        "loggers",
        "sync_function",
        "checkpoint_freq",
        "checkpoint_at_end",
        "export_formats",
        "max_failures",
        "restore",
        "repeat",
        "trial_resources",
        "custom_loggers",
    ]


def test_everything_may_be_given_by_place(tmp_path: Path) -> None:
    body = """
[trial] = run(Count, "by_place", {"training_iteration": 2}, {"w": 3}, {"cpu": 1}, 1, "elsewhere", None, None, None,
              None, 0, True)
tell([trial.last_result["episode_reward_mean"], trial.logdir, trial.has_checkpoint()])
"""
    reward, logdir, saved = act(tmp_path, body).told
    assert reward == 6
    assert Path(logdir).parent == tmp_path / "elsewhere" / "by_place"
    assert saved is True


def test_run_returns_trials_that_have_ended(tmp_path: Path) -> None:
    body = """
trials = run(Count, num_samples=2, stop={"training_iteration": 2}, verbose=0)
t = trials[0]
tell([len(trials), t.status, t.is_finished(), t.trainable_name, len(t.trial_id), str(t), t.experiment_tag, t.config,
      t.last_result["done"], t.last_result["training_iteration"], t.num_failures, t.error_file, os.path.isdir(t.logdir),
      t.should_stop({"training_iteration": 2}), t.should_stop({"training_iteration": 1}), t.progress_string()])
"""
    told = act(tmp_path, body).told
    assert told[:-1] == [
        2, "TERMINATED", True, "Count", 8, "Count_0", "0", {}, True, 2, 0, None, True, True, False,
    ]  # fmt: skip
    assert told[-1].startswith("TERMINATED, [1 CPUs, 0 GPUs], [pid=")
    assert told[-1].endswith(", 0 s, 2 iter, 2 rew")


def test_a_trial_takes_other_resources_unless_it_runs(tmp_path: Path) -> None:
    body = """
[t] = run(Count, stop={"training_iteration": 1}, verbose=0)
t.update_resources(2, 1)
tell([t.resources.cpu, t.resources.gpu, t.resources.summary_string()])
"""
    assert act(tmp_path, body).told == [2, 1, "2 CPUs, 1 GPUs"]


def test_a_trial_stops_when_any_criterion_is_reached_or_it_says_that_it_is_done(tmp_path: Path) -> None:
    body = """
def train(config, reporter):
    for i in range(1, 100):
        reporter(mean_accuracy=i / 10, timesteps_total=i, done=1 if i == config["d"] else 0)
trials = run(train, config={"d": grid_search([3, 99])}, stop={"mean_accuracy": 0.7, "timesteps_total": 50}, verbose=0)
tell([t.last_result["training_iteration"] for t in trials])
"""
    assert act(tmp_path, body).told == [3, 7]


def test_a_criterion_that_no_result_carries_fails_the_trial_and_says_so(tmp_path: Path) -> None:
    body = """
try:
    run(Count, stop={"mean_accurracy": 1}, verbose=0)
except TuneError as error:
    [trial] = error.args[1]
    tell([error.args[0], trial.status, open(trial.error_file).read()])
"""
    message, status, story = act(tmp_path, body).told
    assert (message, status) == ("Trials did not complete", "ERROR")
    assert story.startswith("Stopping criteria mean_accurracy not provided in result {")


def test_failed_trials_raise_at_the_end_unless_that_is_not_wanted(tmp_path: Path) -> None:
    body = """
def train(config, reporter):
    reporter(mean_loss=1)
    if config["bad"]:
        raise RuntimeError("no luck")
config = {"bad": grid_search([True, False])}
trials = run(train, config=config, verbose=0, raise_on_failed_trial=False)
tell([t.status for t in trials])
run(train, config=config, verbose=0)
"""
    played = play(tmp_path, HEAD + body)
    assert played.told == ["ERROR", "TERMINATED"]
    assert played.status == 1
    assert "ERROR running.py" in played.err
    assert "TuneError: ('Trials did not complete', [train_0_bad=True])" in played.err


def test_a_trial_is_tried_again_from_its_checkpoint(tmp_path: Path) -> None:
    body = """
class Weak(Count):
    def _train(self):
        if self.x == 3 and not os.path.exists(os.path.join(self.config["here"], "failed")):
            open(os.path.join(self.config["here"], "failed"), "w").close()
            raise RuntimeError("weak")
        return super(Weak, self)._train()
[t] = run(Weak, config={"here": os.getcwd()}, stop={"training_iteration": 5}, checkpoint_freq=2, verbose=0)
lines = [json.loads(line) for line in open(os.path.join(t.logdir, "result.json"))]
tell([t.status, t.num_failures, [r["training_iteration"] for r in lines], [r["episode_reward_mean"] for r in lines],
      open(t.error_file).read()])
"""
    status, failures, iterations, rewards, story = act(tmp_path, body).told
    assert (status, failures) == ("TERMINATED", 1)
    assert iterations == rewards == [1, 2, 3, 3, 4, 5]
    assert "Weak._train raised RuntimeError: weak" in story
    assert 'raise RuntimeError("weak")' in story


def test_without_checkpoints_nothing_is_tried_again_unless_it_is_said(tmp_path: Path) -> None:
    body = """
def train(config, reporter):
    open(os.path.join(config["here"], "starts"), "a").write("x")
    raise RuntimeError("never")
counts = []
for more in ({}, {"max_failures": 1}):
    run(train, config={"here": os.getcwd()}, verbose=0, raise_on_failed_trial=False, **more)
    counts.append(len(open("starts").read()))
tell(counts)
"""
    assert act(tmp_path, body).told == [1, 3]


def test_every_trial_begins_with_the_checkpoint_that_restore_names(tmp_path: Path) -> None:
    body = """
[first] = run(Count, name="first", stop={"training_iteration": 3}, checkpoint_at_end=True, verbose=0)
path = os.path.join(first.logdir, "checkpoint_3", "state")
trials = run(Count, name="second", num_samples=2, stop={"training_iteration": 5}, restore=path, verbose=0)
tell([[t.last_result["training_iteration"], t.last_result["episode_reward_mean"],
       t.last_result["iterations_since_restore"]] for t in trials])
"""
    assert act(tmp_path, body).told == [[5, 5, 2], [5, 5, 2]]


def test_a_models_export_is_written_when_the_trial_stops(tmp_path: Path) -> None:
    body = """
class Exporting(Count):
    def _export_model(self, formats, folder):
        for name in formats:
            open(os.path.join(folder, name + ".bin"), "w").write(str(self.x))
        return {}
[t] = run(Exporting, stop={"training_iteration": 2}, export_formats=["model", "checkpoint"], verbose=0)
tell([open(os.path.join(t.logdir, name + ".bin")).read() for name in ("model", "checkpoint")])
try:
    run(Exporting, export_formats=["onnx"])
except TuneError as error:
    print(error)
"""
    played = act(tmp_path, body)
    assert played.told == ["2", "2"]
    assert "Unsupported export format: onnx" in played.out


def test_experiments_are_run_one_after_another(tmp_path: Path) -> None:
    body = """
tune.register_trainable("mine", climb)
spec = {"run": "mine", "config": {"n": 2}, "env": "CartPole-v0", "stop": {"timesteps_total": 9}}
trials = run_experiments({"one": spec, "two": {"run": Count, "stop": {"training_iteration": 1}}}, verbose=0)
trials += run_experiments(Experiment("three", Count, stop={"training_iteration": 1}), verbose=0)
trials += run_experiments([Experiment("four", climb)], verbose=0)
tell([[str(t), t.config, os.path.basename(t.local_dir)] for t in trials])
"""
    assert act(tmp_path, body).told == [
        ["mine_CartPole-v0_0", {"n": 2, "env": "CartPole-v0"}, "one"],
        ["Count_0", {}, "two"],
        ["Count_0", {}, "three"],
        ["climb_0", {}, "four"],
    ]


def test_one_scheduler_may_serve_several_experiments(tmp_path: Path) -> None:
    body = """
from ray.tune.schedulers import AsyncHyperBandScheduler
s = AsyncHyperBandScheduler(max_t=4, grace_period=1)
spec = {"run": Count, "num_samples": 3}
trials = run_experiments({"one": spec, "two": spec}, scheduler=s, verbose=0)
tell([t.last_result["training_iteration"] <= 4 for t in trials])
"""
    assert act(tmp_path, body).told == [True] * 6


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("run_experiments({'a': {'config': {}}})", "TuneError: No trainable specified!"),
        ("run_experiments({'a': {'run': climb, 'stpo': {}}})", "TuneError: Improper argument from JSON"),
        ("run_experiments({'a': {'run': climb, 'stpo': {}}})", "Did you mean 'stop'?"),
        ("run_experiments(7)", "TuneError: Invalid argument"),
        ("Experiment('a', climb, repeat=2)", "DeprecationWarning: `repeat` is deprecated, use `num_samples`"),
        ("Experiment('a', climb, custom_loggers=[1])", "use `loggers` instead"),
        ("run('Cuont')", "Unknown trainable: Cuont."),
        ("run('A3C', config={'env': 'CartPole-v0'})", "It is gone from RLlib; PPO or IMPALA comes closest"),
        ("run('PPp')", "Did you mean 'PPO'?"),
        ("run('PPO', config={'env': 'CartPole-v0', 'horizon': 3})", "RLlib has no setting 'horizon' any more"),
        ("tune.register_trainable('Count', Count); run('Cuont')", "Did you mean 'Count'?"),
        ("tune.register_trainable('x', dict)", "TypeError: Second argument must be convertable to Trainable"),
        ("tune.register_trainable('x', Count({}, lambda c: None))", "TypeError"),
        ("tune.register_trainable('x', 7)", "TypeError"),
        ("tune.register_env('x', 7)", "TypeError"),
        ("run(lambda config, reporter: 0)", 'tune.register_trainable("my_trainable"'),
        ("run(climb, resources_per_trial={'cpus': 1})", "ValueError: Unknown resource type cpus"),
        ("run(climb, resources_per_trial={'driver_cpu_limit': 1})", "TuneError: The field `driver_cpu_limit`"),
        ("run(climb, resources_per_trial={'cpu': 99})", "trial requested 99 CPUs, 0 GPUs but the cluster has only"),
        ("run(climb, sync_function='cp {local_dir} x', upload_dir='x')", "AssertionError"),
        ("run(climb, sync_function='cp {local_dir} {remote_dir}')", "AssertionError"),
        ("run(climb, upload_dir='ftp://x')", "Upload uri must start with one of"),
        ("run(climb, checkpoint_freq=grid_search([1, 2]))", "checkpoint_freq is to be resolved for each trial"),
        ("run(climb, stop=9)", "TuneError: stop must be a dict"),
        ("run(climb, trial_name_creator=lambda trial: 1 / 0)", "trial_name_creator raised ZeroDivisionError"),
        ("run(climb, scheduler=7)", "scheduler must be an object"),
        ("run(climb, search_alg=7)", "search_alg must be"),
    ],
)
def test_what_can_not_be_run_is_refused_in_words(tmp_path: Path, call: str, words: str) -> None:
    played = play(tmp_path, HEAD + call)
    assert played.status == 1
    assert words in played.err


def test_requests_are_capped_to_what_there_is_if_that_is_wanted(tmp_path: Path) -> None:
    body = """
ray.init(num_cpus=2)
[t] = run(climb, resources_per_trial={"cpu": 3, "extra_cpu": 2, "gpu": 0.5})
tell([t.resources.cpu, t.resources.extra_cpu, t.resources.gpu])
"""
    played = act(tmp_path, body, options=("--fit-resources",))
    assert played.told == [2, 0, 0]
    assert "WARNING" in played.err
    assert "A trial asks for 5 CPUs, 0.5 GPUs, and there are 2 CPUs, 0 GPUs: it gets 2 CPUs, 0 GPUs" in played.err


def test_queue_trials_lets_one_trial_run_that_asks_for_too_much(tmp_path: Path) -> None:
    body = """
ray.init(num_cpus=2)
trials = run(climb, num_samples=2, resources_per_trial={"cpu": 3}, queue_trials=True, verbose=0)
tell([t.status for t in trials])
"""
    assert act(tmp_path, body).told == ["TERMINATED", "TERMINATED"]


def test_resources_may_come_from_the_class_and_be_named(tmp_path: Path) -> None:
    body = """
ray.init(num_cpus=4, resources={"licence": 1})
class Big(Count):
    @classmethod
    def default_resource_request(cls, config):
        from ray.tune.resources import Resources
        return Resources(cpu=config["c"], gpu=0, custom_resources={"licence": 1})
trials = run(Big, config={"c": grid_search([1, 2])}, stop={"training_iteration": 1}, verbose=0)
tell([t.resources.summary_string() for t in trials])
"""
    assert act(tmp_path, body).told == ["1 CPUs, 0 GPUs, 1 licence", "2 CPUs, 0 GPUs, 1 licence"]


def test_without_gpus_a_trial_sees_none_and_is_in_its_own_folder(tmp_path: Path) -> None:
    body = """
def where(config, reporter):
    open("here.txt", "w").write("x")
    reporter(cuda=os.environ["CUDA_VISIBLE_DEVICES"], cwd=os.getcwd())
[t] = run(where, verbose=0)
tell([t.last_result["cuda"], t.last_result["cwd"] == t.logdir, os.listdir(t.logdir)])
"""
    cuda, same, files = act(tmp_path, body).told
    assert (cuda, same) == ("", True)
    assert "here.txt" in files


def test_a_name_is_made_by_the_users_function_wrapped_or_not(tmp_path: Path) -> None:
    body = """
def named(trial):
    return "{}-{}-{}".format(trial.trainable_name, trial.experiment_tag, trial.config["w"])
names = [str(run(Count, config={"w": 2}, stop={"training_iteration": 1}, trial_name_creator=f, verbose=0)[0])
         for f in (named, tune.function(named))]
tell(names)
"""
    assert act(tmp_path, body).told == ["Count-0-2", "Count-0-2"]


def test_env_goes_into_the_configuration(tmp_path: Path) -> None:
    body = "[t] = run(climb, env='Humanoid-v1', verbose=0)\ntell([t.config, str(t)])"
    assert act(tmp_path, body).told == [{"env": "Humanoid-v1"}, "climb_Humanoid-v1_0"]


def test_a_limit_of_the_environment_ends_the_run(tmp_path: Path) -> None:
    body = """
def slow(config, reporter):
    while True:
        reporter(mean_loss=1, time_this_iter_s=10)
[t] = run(slow, verbose=0, raise_on_failed_trial=False)
tell(t.last_result["training_iteration"])
"""
    assert act(tmp_path, body, TRIALRUNNER_WALLTIME_LIMIT="25").told == 3


def test_folders_are_copied_by_a_template_or_a_function(tmp_path: Path) -> None:
    body = """
def copy(local, remote):
    with open("copied", "a") as f:
        f.write(remote + "\\n")
command = "mkdir -p {remote_dir} && cp -r {local_dir}/. {remote_dir}"
run(climb, name="a", upload_dir="far", sync_function=command, verbose=0)
run(climb, name="b", upload_dir="mem://x", sync_function=tune.function(copy), verbose=0)
[copied] = os.listdir("far")
tell([sorted(os.listdir(os.path.join("far", copied))), open("copied").read()])
"""
    files, remote = act(tmp_path, body).told
    assert {"result.json", "params.json", "progress.csv"} <= set(files)
    assert remote.startswith("mem://x/climb_0_")
