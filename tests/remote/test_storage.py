"""What a URL names, and what of it may be told."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import tunesmith as tune
from tunesmith.remote.storage import RemoteStorage, is_url, shown


@pytest.mark.parametrize("text", ["s3://bucket", "file:///tmp/x", "sftp://a@b:22/c", "memory://x", "dir::s3://b/x"])
def test_what_has_a_protocol_is_a_url(text: str) -> None:
    assert is_url(text)


@pytest.mark.parametrize("text", ["~/tunesmith", "/a://b", "C:/runs", "C://runs", "", None, Path("x")])
def test_the_path_of_a_folder_is_none(text: object) -> None:
    assert not is_url(text)


def test_a_password_is_used_and_never_shown() -> None:
    storage = RemoteStorage("sftp://ann:s%40cr%2Fet@host:22/runs", {"passphrase": "opensesame", "port": "22000"})
    url, options = storage.arguments()
    assert url == "sftp://host:22/runs"
    assert options == {"username": "ann", "password": "s@cr/et", "passphrase": "opensesame", "port": "22000"}
    assert storage.at("x").arguments()[0] == "sftp://host:22/runs/x"
    for text in (repr(storage), str(storage), storage.shown, storage.at("x").shown, storage.clean(f"at {storage.url}")):
        assert "cr%2Fet" not in text
        assert "opensesame" not in text
    assert storage.clean("refused: s@cr/et, opensesame, port 22000") == "refused: ***, ***, port 22000"
    assert pickle.loads(pickle.dumps(storage)) == storage  # as workers get it


def test_the_keys_of_s3_may_stand_in_the_url_as_well() -> None:
    assert RemoteStorage("s3://id:key@bucket/x").arguments() == ("s3://bucket/x", {"key": "id", "secret": "key"})


def test_secrets_within_options_are_found() -> None:
    storage = RemoteStorage(
        "s3://b", {"client_kwargs": {"aws_session_token": "tokentoken", "region_name": "eu-west-1"}}
    )
    assert storage.clean("tokentoken in eu-west-1") == "*** in eu-west-1"


def test_what_stands_behind_a_question_mark_is_not_shown() -> None:
    assert shown("abfs://c@account/x?sig=abcdef") == "abfs://c@account/x"


def test_a_password_that_breaks_the_url_is_refused_without_being_told() -> None:
    with pytest.raises(tune.ArgumentError, match="%2F") as caught:
        RemoteStorage("sftp://ann:se/cret@host/runs")
    assert "se/cret" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"url": "/tmp/x"}, {"url": "s3://b", "retry_s": -1}, {"url": "s3://b", "options": 3}]
)
def test_what_can_not_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(tune.ArgumentError):
        RemoteStorage(**wrong)  # type: ignore[arg-type]


def test_each_place_has_a_folder_of_its_own_on_this_machine_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    one = RemoteStorage("sftp://ann:secret@host/runs").folder()
    assert one == RemoteStorage("sftp://bob@host/runs/").folder()
    assert one != RemoteStorage("sftp://host/runs2").folder()
    assert one.parent == Path("/home/ann/tunesmith/remote")
    assert one.name.startswith("sftp-host-runs-")
    assert RemoteStorage("s3://b", local="/scratch").folder() == Path("/scratch")
