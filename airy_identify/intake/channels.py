"""The channels that requests may name: what the reader of Airy's topic `channels` has read so far."""

from typing import Protocol

from airy_identify.wire.airy import Channel, decode_channel
from airy_identify.wire.confluent import WriterSchemas
from airy_identify.wire.errors import UndecodableError


class Channels(Protocol):
    """Where intake looks a channel up."""

    def get(self, channel_id: str) -> Channel | None:
        """Return the channel, or null when Airy has none with this id."""


class ChannelDirectory:
    """All channels, kept up to date record by record. Channels are few, so they are simply held in memory.

    `writers` are the schemas that records may be written with, null when there is no registry.
    """

    def __init__(self, writers: WriterSchemas | None = None) -> None:
        self.writers = writers
        self._channels: dict[str, Channel] = {}
        self.undecodable_total = 0
        """How many records could not be used: bad bytes, or a key that is not the channel's id."""

    def __len__(self) -> int:
        return len(self._channels)

    def get(self, channel_id: str) -> Channel | None:
        """Return the channel, or null when Airy has none with this id."""
        return self._channels.get(channel_id)

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Take in a record of the topic: a null value deletes the channel, as does one that cannot be used."""
        try:
            channel_id = (key or b"").decode()
            channel = None if value is None else decode_channel(value, self.writers)
            if channel is not None and channel.id != channel_id:
                raise UndecodableError("a channel under another channel's key")
        except ValueError:
            self.undecodable_total += 1
            channel_id, channel = (key or b"").decode(errors="replace"), None
        if channel is None:
            self._channels.pop(channel_id, None)
        else:
            self._channels[channel_id] = channel

    def replace(self, other: "ChannelDirectory") -> None:
        """Hold what the other directory holds: the topic was read again from its start."""
        self._channels = dict(other._channels)  # noqa: SLF001 - of the same class
        self.undecodable_total = other.undecodable_total
