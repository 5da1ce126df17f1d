"""`airy-identify top` beside a running service."""

import asyncio
import sys

from tests.kafka.service import Service, poll, shard_count


async def test_it_shows_what_a_service_is_doing(service: Service) -> None:
    assert (await service.identify(external_id="shown"))["status"] == 200
    assert (await service.identify(email="nonsense"))["status"] == 400
    gone = "127.0.0.1:1"
    addresses = [service.worker.url, service.bridge.url.removeprefix("http://"), gone]

    async def one_frame() -> str | None:
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "airy_identify", "top", "--once", *addresses, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await program.communicate()
        assert program.returncode == 0
        text = output.decode()
        return text if text.count("running") == shard_count(service.settings) else None

    text = await poll(one_frame, "not every shard is shown as running")
    assert "does not answer" in next(line for line in text.splitlines() if gone in line)
    assert "invalid_email" in text
    identity = [line.split() for line in text.splitlines() if line.startswith("contact-identity")]
    assert [cells[1] for cells in identity] == [str(number) for number in range(service.settings.partitions)]
    applied = [cells for cells in identity if cells[3] != "–"]  # noqa: RUF001 - a dash
    assert applied, "somebody was identified"
    assert all(cells[4] == "0" for cells in applied), "nothing is behind in a service that nobody asks"
    assert all(len(cells[6]) == 8 for cells in applied)
