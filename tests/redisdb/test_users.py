"""The ACL users that systemd/redis/users.acl gives each role, on a real server."""

from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.exceptions import NoPermissionError

from msgctl import redisdb
from msgctl.config import Settings
from msgctl.rqueue import Claims, Queue, Registration
from tests.processes import until
from tests.redisdb.test_sentinel import free_port, message, server

USERS = Path(__file__).parent.parent.parent / "systemd" / "redis" / "users.acl"


@pytest.mark.parametrize("role", ["worker", "subscriber", "gateway", "operator"])
async def test_a_role_can_do_its_work_and_administer_nothing(
    tmp_path: Path, settings: Settings, role: str
) -> None:
    """Each user enqueues, claims, registers and checks Redis's safety; none can flush, configure or shut it."""
    users = tmp_path / "users.acl"
    kept = [line for line in USERS.read_text("utf-8").splitlines() if line.startswith("user ")]
    users.write_text("\n".join(kept) + "\n", "utf-8")
    port = free_port()
    login = {
        "host": "127.0.0.1",
        "port": port,
        "username": f"msgctl-{role}",
        "password": SecretStr(f"CHANGE-ME-{role}"),
    }
    own = settings.model_copy(update={"redis": settings.redis.model_copy(update=login)})
    configuration = f"port {port}\nappendonly yes\nmaxmemory-policy noeviction\naclfile {users}"
    async with server(tmp_path / "valkey", configuration), redisdb.connect(own) as client:

        async def answers() -> bool:
            try:
                return bool(await client.ping())
            except OSError:
                return False
            except Exception as error:
                if type(error).__name__ != "ConnectionError":
                    raise
                return False

        await until(answers, "the server")
        await redisdb.check_durability(client, own)
        await Queue(client, own).enqueue(message(1), digest=message(1).digest())
        assert len(await Claims(client, own, "w1").claim(1)) == 1
        registration = Registration(own, "w1")
        await registration.begin()
        await registration.end()
        for words in (
            ["FLUSHALL"],
            ["CONFIG", "SET", "appendonly", "no"],
            ["SHUTDOWN"],
            ["KEYS", "*"],
            ["GET", "other"],
        ):
            with pytest.raises(NoPermissionError):
                await client.execute_command(*words)  # type: ignore[no-untyped-call]
