"""What TensorBoard's own readers find in the files."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.callbacks.stories import Story
from tests.conftest import Run
from tunesmith import TensorBoardLogger, grid_search, report
from tunesmith import events as e
from tunesmith.trial import CheckpointRef


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder)).Reload()
    return {tag: [(p.step, round(p.value, 5)) for p in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def sessions(folder: Path) -> tuple[Any, Any]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    found = EventAccumulator(str(folder)).Reload().summary_metadata
    start = found[metadata.SESSION_START_INFO_TAG].plugin_data.content
    end = found.get(metadata.SESSION_END_INFO_TAG)
    return (
        metadata.parse_session_start_info_plugin_data(start),
        None if end is None else metadata.parse_session_end_info_plugin_data(end.plugin_data.content),
    )


@pytest.mark.heavy
@pytest.mark.filterwarnings("default")
class TestTensorBoard:
    @pytest.fixture(autouse=True)
    def _needs_tensorboard(self) -> None:
        pytest.importorskip("tensorboard")

    def test_numbers_become_curves(self, tmp_path: Path) -> None:
        story = Story(tmp_path, TensorBoardLogger(flush_s=0))
        story.begin(0)
        story.report(0, 0.5, 0.25, valid={"accuracy": 1}, note="text", good=True, many=[1, 2])
        assert curves(tmp_path / "f0") == {
            "loss": [(1, 0.5), (2, 0.25)],
            "valid/accuracy": [(1, 1.0), (2, 1.0)],
            "time_this_iter_s": [(1, 0.5), (2, 0.5)],
            "time_total_s": [(1, 0.5), (2, 1.0)],
        }

    def test_steps_are_timesteps_where_there_are_any(self, tmp_path: Path) -> None:
        story = Story(tmp_path, TensorBoardLogger(flush_s=0, prefix="ray/tune/"))
        story.begin(0)
        story.report(0, 0.5, timesteps_total=100)
        story.report(0, 0.25, first=2, timesteps_total=200)
        assert curves(tmp_path / "f0")["ray/tune/loss"] == [(100, 0.5), (200, 0.25)]

    def test_reports_that_do_not_stand_are_taken_back(self, tmp_path: Path) -> None:
        story = Story(tmp_path, TensorBoardLogger(flush_s=0))
        story.begin(0)
        story.report(0, 0.5, 0.4, 0.3)
        story.fail(0)
        story.begin(0, CheckpointRef("c", 1))
        assert curves(tmp_path / "f0")["loss"] == [(1, 0.5)]
        story.report(0, 0.2, first=2)
        assert curves(tmp_path / "f0")["loss"] == [(1, 0.5), (2, 0.2)]

    def test_a_file_that_was_cut_off_is_made_anew(self, tmp_path: Path) -> None:
        story = Story(tmp_path, TensorBoardLogger(flush_s=0))
        for number in range(3):
            story.begin(number)
            story.report(number, 0.5, 0.4)
        story.complete(2)
        story.write(*story.reports(0, 0.3, first=3))
        (file,) = (tmp_path / "f1").glob("*tfevents*")
        file.write_bytes(file.read_bytes()[:-5])
        (whole,) = (tmp_path / "f2").glob("*tfevents*")
        story.resume(TensorBoardLogger(flush_s=0))
        assert curves(tmp_path / "f0")["loss"] == [(1, 0.5), (2, 0.4), (3, 0.3)]
        assert curves(tmp_path / "f1")["loss"] == [(1, 0.5), (2, 0.4)]
        assert [*(tmp_path / "f2").glob("*tfevents*")] == [whole]
        (new,) = (tmp_path / "f1").glob("*tfevents*")
        assert new.name > file.name  # so that a TensorBoard that is running takes it up

    def test_records_are_what_its_own_writer_makes(self, tmp_path: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.hparams import metadata
        from tensorboard.summary.writer.record_writer import RecordWriter

        story = Story(tmp_path, TensorBoardLogger(flush_s=0))
        story.begin(0)
        story.report(0, *range(300))
        story.complete(0)
        (file,) = (tmp_path / "f0").glob("*tfevents*")
        content = file.read_bytes()
        events, at = [], 0
        while at < len(content):
            length = int.from_bytes(content[at : at + 8], "little")
            events.append(Event.FromString(content[at + 12 : at + 12 + length]))
            at += length + 16
        written = BytesIO()
        for event in events:
            RecordWriter(written).write(event.SerializeToString())
        assert content == written.getvalue()
        ((start,),) = [event.summary.value for event in events if "start" in str(event.summary)]
        assert start.tensor == metadata.NULL_TENSOR
        data = metadata.parse_session_start_info_plugin_data(start.metadata.plugin_data.content)
        assert (start.tag, data.group_name) == (metadata.SESSION_START_INFO_TAG, "id0")
        assert start.metadata.plugin_data.plugin_name == metadata.PLUGIN_NAME

    def test_files_that_are_the_users_own_stay(self, tmp_path: Path) -> None:
        own = tmp_path / "f0" / "events.out.tfevents.123.host"
        own.parent.mkdir()
        own.touch()
        story = Story(tmp_path, TensorBoardLogger(flush_s=0))
        story.begin(0)
        story.report(0, 0.5)
        story.resume(TensorBoardLogger(flush_s=0))
        assert own.exists()

    def test_hparams_have_the_configuration_and_the_end(self, tmp_path: Path) -> None:
        space = {"x": "Float()", "net": {"sizes": {"$tuple": [8, 8]}, "bias": True}}
        story = Story(tmp_path, TensorBoardLogger(flush_s=0), **space)
        story.begin(0)
        story.report(0, 0.5)
        start, end = sessions(tmp_path / "f0")
        assert {name: value.WhichOneof("kind") for name, value in start.hparams.items()} == {
            "x": "number_value", "net/sizes": "string_value", "net/bias": "bool_value",
        }  # fmt: skip
        assert start.hparams["x"].number_value == 0.5
        assert end is None
        story.tell(e.Judged(0, "fail", "no", 1))
        story.tell(e.Stopped(0, 1))
        assert sessions(tmp_path / "f0")[1].status == 2

    def test_the_hparams_plugin_makes_its_table(self, run: Run) -> None:
        from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
        from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
        from tensorboard.context import RequestContext
        from tensorboard.plugins.base_plugin import TBContext
        from tensorboard.plugins.hparams import backend_context, list_session_groups
        from tensorboard.plugins.hparams.api_pb2 import ListSessionGroupsRequest

        def train(config: dict[str, Any]) -> None:
            for step in range(3):
                report(loss=config["x"] / (step + 1), deep={"er": step})

        results = run(train, {"x": grid_search([3.0, 6.0, 9.0])}, callbacks=[TensorBoardLogger()])
        multiplexer = EventMultiplexer().AddRunsFromDirectory(str(results.path))
        multiplexer.Reload()
        provider = MultiplexerDataProvider(multiplexer, str(results.path))
        context = backend_context.Context(TBContext(data_provider=provider))
        request = RequestContext()
        experiment = context.experiment_from_metadata(
            request, "", True, context.hparams_metadata(request, ""), context.hparams_from_data_provider(request, "", 9)
        )
        assert [info.name for info in experiment.hparam_infos] == ["x"]
        assert {info.name.tag for info in experiment.metric_infos} >= {"loss", "deep/er", "time_total_s"}
        groups = list_session_groups.Handler(
            request, context, "", ListSessionGroupsRequest(slice_size=9, allowed_statuses=[1])
        ).run()
        found = {
            group.hparams["x"].number_value: {m.name.tag: m.value for m in group.metric_values}["loss"]
            for group in groups.session_groups
        }
        assert found == {3.0: 1.0, 6.0: 2.0, 9.0: 3.0}


def test_without_tensorboard_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["tensorboard"] = None
import tunesmith
try:
    tunesmith.TensorBoardLogger()
except tunesmith.MissingPackageError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 'pip install "tunesmith[tensorboard]"' in said
