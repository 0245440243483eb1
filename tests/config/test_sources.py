"""Where settings come from, and what is said of those that cannot be used."""

import math
from pathlib import Path
from typing import Any

import pytest

from msgctl.config import sources as config_sources
from msgctl.config.settings import Settings
from msgctl.config.sources import load
from msgctl.domain.errors import ConfigurationError


def write(folder: Path, text: str) -> Path:
    """A configuration file with this text."""
    file = folder / "some.toml"
    file.write_text(text, "utf-8")
    return file


def refusal(path: Path | None = None, **sources: Any) -> str:
    """What is said when the sources are refused."""
    with pytest.raises(ConfigurationError) as refused:
        load(path, **{"environ": {}, **sources})
    return refused.value.message


@pytest.fixture(autouse=True)
def no_usual_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine the tests run on may have a configuration of its own."""
    monkeypatch.setattr(config_sources, "DEFAULT_FILES", ())


def test_without_any_source_all_is_default() -> None:
    """Nothing has to be set, and nothing claims to have been."""
    loaded = load(environ={})
    assert (loaded.settings, loaded.origins, loaded.path) == (Settings(), {}, None)


def test_each_source_wins_over_the_next(tmp_path: Path) -> None:
    """Flag > environment > credential > file > default, each with its origin."""
    file = write(tmp_path, "[worker]\nconcurrency = 1\nlease = 11\ndrain = 12\nmax_wait = 13\n")
    for name, value in (("concurrency", "2"), ("lease", "22"), ("drain", "23")):
        (tmp_path / f"worker.{name}").write_text(value)
    environ = {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "MSGCTL_WORKER_CONCURRENCY": "3",
        "MSGCTL_WORKER_LEASE": "33",
    }
    loaded = load(file, environ=environ, flags={("worker", "concurrency"): 4})
    worker = loaded.settings.worker
    assert (worker.concurrency, worker.lease, worker.drain, worker.max_wait) == (4, 33, 23, 13)
    assert worker.max_crashes == Settings().worker.max_crashes
    assert loaded.origins == {
        ("worker", "concurrency"): "flag",
        ("worker", "lease"): "MSGCTL_WORKER_LEASE",
        ("worker", "drain"): "credential worker.drain",
        ("worker", "max_wait"): str(file),
    }


def test_the_plain_names_work() -> None:
    """The four names without our prefix set what they say."""
    plain = {"REDIS_HOST": "r", "REDIS_PORT": "1", "REDIS_PASSWORD": "p", "N8N_BASE_URL": "http://n8n:5678"}
    settings = load(environ=plain).settings
    assert (settings.redis.host, settings.redis.port) == ("r", 1)
    assert settings.redis.password.get_secret_value() == "p"
    assert settings.n8n.base_url == "http://n8n:5678"


def test_our_name_wins_over_the_plain_one() -> None:
    """With both set, the one that names the setting in full counts."""
    assert load(environ={"REDIS_HOST": "theirs", "MSGCTL_REDIS_HOST": "ours"}).settings.redis.host == "ours"


@pytest.mark.parametrize("name", ["REDIS_PASSWORD_FILE", "MSGCTL_REDIS_PASSWORD_FILE"])
def test_a_secret_may_stand_in_a_file(tmp_path: Path, name: str) -> None:
    """The line's end is not part of it, a blank is."""
    secret = tmp_path / "secret"
    secret.write_text("hush \n")
    assert load(environ={name: str(secret)}).settings.redis.password.get_secret_value() == "hush "


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    """Compose files hand over empty variables for what nobody set."""
    file = write(tmp_path, '[redis]\nhost = "h"\n')
    assert load(file, environ={"REDIS_HOST": "", "MSGCTL_REDIS_PORT": ""}).settings.redis.host == "h"


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    """MSGCTL_CONFIG works where no path is given, and a path wins over it."""
    named = write(tmp_path, '[redis]\nhost = "named"\n')
    environ = {"MSGCTL_CONFIG": str(named)}
    assert load(environ=environ).settings.redis.host == "named"
    other = tmp_path / "other.toml"
    other.write_text('[redis]\nhost = "other"\n')
    assert load(other, environ=environ).settings.redis.host == "other"


def test_a_list_is_written_with_commas_in_the_environment() -> None:
    """Blanks around the items do not count."""
    settings = load(environ={"MSGCTL_CALLBACK_ALLOWED_HOSTS": "a:1, b"}).settings
    assert settings.callback.allowed_hosts == ["a:1", "b"]


def test_a_list_in_the_environment_may_be_written_as_in_the_file() -> None:
    """Who copies the line of config.toml gets what it says; an IPv6 address in brackets is no such list."""
    hosts = "MSGCTL_CALLBACK_ALLOWED_HOSTS"
    assert load(environ={hosts: '["a:1", "b"]'}).settings.callback.allowed_hosts == ["a:1", "b"]
    assert load(environ={hosts: "[::1]:80, b"}).settings.callback.allowed_hosts == ["[::1]:80", "b"]
    assert load(environ={"MSGCTL_CALLBACK_SCHEDULE": "[0, 5]"}).settings.callback.schedule == [0, 5]


def test_unknown_names_come_with_the_nearest_known_one(tmp_path: Path) -> None:
    """Section, setting and variable are each told with what was probably meant."""
    file = write(tmp_path, "[wroker]\n[redis]\nprot = 1\n[gateway]\nzzz = 1\n")
    said = refusal(file, environ={"MSGCTL_REDIS_HOTS": "h"})
    assert "[wroker]" in said
    assert "(did you mean worker?)" in said
    assert "redis.prot" in said
    assert "(did you mean port?)" in said
    assert "MSGCTL_REDIS_HOTS (did you mean MSGCTL_REDIS_HOST?)" in said
    assert f"gateway.zzz in {file};" in said  # nothing is like it, so nothing is suggested


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Unknown names and bad values of every source come in one answer, each with where it was found."""
    file = write(tmp_path, "[redis]\nprot = 1\nport = 0\n[retry]\nattempts = 0\n")
    environ = {
        "MSGCTL_WORKER_LEASE": "soon",
        "MSGCTL_NONSENSE": "1",
        "REDIS_PASSWORD_FILE": str(tmp_path / "none"),
    }
    said = refusal(file, environ=environ, flags={("gateway", "port"): 70_000})
    for part in (
        "redis.prot",
        f"redis.port (from {file})",
        f"retry.attempts (from {file})",
        "worker.lease (from MSGCTL_WORKER_LEASE)",
        "MSGCTL_NONSENSE",
        "redis.password (from REDIS_PASSWORD_FILE)",
        "gateway.port (from flag)",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[redis]\nport = true", "redis.port"),
        ("[redis]\nhost = 5", "redis.host"),
        ("[redis]\nport = nan", "redis.port"),
        ("[worker]\nlease = nan", "worker.lease"),
        ("[worker]\ndrain = inf", "worker.drain"),
        ("[health]\nmax_failed_ratio = nan", "health.max_failed_ratio"),
        ("[callback]\nallowed_hosts = 'a'", "callback.allowed_hosts"),
        ("[auth]\nalgorithm = 'none'", "auth.algorithm"),
        ("[n8n]\nbase_url = 'n8n:5678'", "n8n.base_url"),
        ("[postgres]\nagent_query = 'SELECT * FROM agents'", "postgres.agent_query"),
        ("redis = 5", "redis"),
        ("[redis", "Cannot read"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, named: str) -> None:
    """What pydantic alone would bend into shape or let pass is refused by name too."""
    assert named in refusal(write(tmp_path, text))


@pytest.mark.parametrize(
    "sources",
    [
        {"environ": {"MSGCTL_REDIS_PORT": "hush"}},
        {"environ": {"MSGCTL_AUTH_ALGORITHM": "hush"}},
        {"environ": {"MSGCTL_N8N_BASE_URL": "hush"}},
        {"flags": {("redis", "password"): ["hush"]}},
    ],
)
def test_a_refused_value_is_not_repeated(sources: dict[str, Any]) -> None:
    """It may be a secret that slipped into the wrong setting."""
    assert "hush" not in refusal(**sources)


def test_secrets_do_not_show_in_a_dump() -> None:
    """Neither the text of the settings nor their JSON holds one."""
    settings = load(environ={"REDIS_PASSWORD": "hush", "MSGCTL_AUTH_JWT_SECRET": "hush"}).settings
    assert "hush" not in repr(settings) + settings.model_dump_json()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A path that was named must exist, and the way to make one is told; a folder will not do."""
    assert "msgctl config init" in refusal(tmp_path / "none.toml")
    assert "msgctl config init" in refusal(tmp_path)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are a fault of the configuration, not a crash."""
    file = tmp_path / "binary.toml"
    file.write_bytes(b"\xff\xfe")
    assert "Cannot read" in refusal(file)


def test_no_bound_lets_nan_pass() -> None:
    """Every setting that is a number refuses not-a-number, which is neither too small nor too great."""
    numbers = [
        (section, name)
        for section, name, setting in config_sources.iter_settings()
        if isinstance(setting.default, int | float) and not isinstance(setting.default, bool)
    ]
    assert numbers
    for key in numbers:
        assert ".".join(key) in refusal(flags={key: math.nan})
