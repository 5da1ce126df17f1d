"""What shards count. `telemetry.WorkerMetrics` has it as Prometheus metrics."""

from collections.abc import Callable
from typing import Protocol


class ShardMetrics(Protocol):
    """Told by shards what happens to them."""

    def shard_entered(self, agent: str, partition: int, state: str) -> None:
        """Note the state that a shard is in now."""

    def shard_paused(self, agent: str, partition: int, offset: int) -> None:
        """Note the record that a shard stands at, because its agent cannot process it."""

    def table_stands(self, agent: str, partition: int, offset: int, digest: bytes) -> None:
        """Note the digest of a table partition, and the offset of its log that was applied last."""

    def table_generation(self, agent: str, partition: int, generation: int) -> None:
        """Note which generation of its changelog a table partition has."""

    def shard_behind(self, agent: str, partition: int, records: int) -> None:
        """Note how many offsets of its log a running shard has not applied yet."""

    def restore_behind(self, agent: str, partition: int, rows: int) -> None:
        """Note how many offsets of its changelog an opening shard has not restored yet."""

    def standby_entered(self, agent: str, partition: int, state: str, behind: int | None) -> None:
        """Note the state that a standby is in now, and how many offsets of the changelog it has not read yet."""

    def shard_reopened(self, agent: str, cause: str) -> None:
        """Count a shard that has to open again: `fenced`, or the name of an error."""

    def rows_restored(self, agent: str, rows: int) -> None:
        """Count rows read from a changelog."""

    def watch_store_memory(self, used: Callable[[], int]) -> None:
        """Ask `used` for the bytes that all stores of this process use, whenever somebody wants to know."""

    def batch_committed(self, agent: str, records: int, seconds: float) -> None:
        """Count a batch, and the time that its transaction took."""
