"""Every route that asks the log something: from the body of a request to its answer, one check after the other.

The order of the checks is part of the contract. Route, token and method have been checked before; here follow
- media type, size of the body, `Idempotency-Key`,
- JSON, whether the caller may use the command, fields, whether they may use tenant and channel, channel (all by the same code that reads requests from Kafka),
- whether Kafka takes the command and answers in time.
"""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from airy_identify.core.commands import Command
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import ConversationId, RequestId
from airy_identify.intake.accept import IDENTIFY, RESUME_TOKEN, accept
from airy_identify.intake.channels import Channels
from airy_identify.intake.clients import Client
from airy_identify.intake.policy import IntakePolicy, Request, Stamp
from airy_identify.intake.requests import parse_json
from airy_identify.web.asking import Asker
from airy_identify.web.bodies import BodyLimits, read_body, require_json
from airy_identify.web.errors import json_response, rejected_response
from airy_identify.web.request_ids import REQUEST_ID, require_valid_key

ROUTES = {
    "/contacts.identify": IDENTIFY,
    "/identities.info": "info",
    "/identities.merge": "merge",
    "/identities.unmerge": "unmerge",
    "/identities.release": "release",
    "/identities.forget": "forget",
    "/conversations.resumeToken": RESUME_TOKEN,
    "/chatplugin.resumeToken": RESUME_TOKEN,
}
"""Which command each path asks for. The last is the old name of the one before it."""

CLIENT = web.RequestKey("client", Client)
"""Where a request carries the client whose it is; there is none when it came with the system token."""

_NAMES_CHANNEL = (IDENTIFY, RESUME_TOKEN)
_CHANNEL_REASONS = (Reason.UNKNOWN_CHANNEL, Reason.UNSUPPORTED_CHANNEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDoor:
    """What these routes need. `channels_ready` says whether `channels` has been complete once.

    `clock_ms` and `new_uuid` are the only clock and the only source of ids: what they give is stamped into the command
    and nothing is decided by them later.
    """

    asker: Asker
    channels: Channels
    channels_ready: Callable[[], bool]
    policy: IntakePolicy
    limits: BodyLimits
    clock_ms: Callable[[], int]
    new_uuid: Callable[[], str]

    def handler(self, command: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Return what answers requests for one command of `intake.accept.COMMANDS`."""
        return functools.partial(self.handle, command)

    async def handle(self, command: str, request: web.Request) -> web.Response:
        """Answer one request.

        Raises:
            RefusedError: Something is wrong with the request before its JSON.
        """
        require_json(request)
        body = await read_body(request, self.limits)
        require_valid_key(request)
        request_id = request[REQUEST_ID]
        client = request.get(CLIENT)
        policy = self.policy if client is None else client.bind(self.policy)
        accepted = self._accept(command, body, request_id, policy)
        answer = accepted if isinstance(accepted, Rejected) else await self.asker.ask(accepted)
        if isinstance(answer, Rejected):
            return rejected_response(answer, request_id)
        return json_response(answer.body, answer.status, code=answer.code)

    def _accept(self, name: str, body: bytes, request_id: RequestId, policy: IntakePolicy) -> Command | Rejected:
        fields = parse_json(body)
        if isinstance(fields, Rejected):
            return fields
        asked = Request(
            fields=fields,
            request_id=request_id,
            stamp=Stamp(accepted_at_ms=self.clock_ms(), new_id=ConversationId(self.new_uuid())),
            reply_to=self.asker.reply_to(),
            channels=self.channels,
            policy=policy,
        )
        command = accept(asked, name)
        depends_on_channels = not isinstance(command, Rejected) or command.reason in _CHANNEL_REASONS
        if name in _NAMES_CHANNEL and depends_on_channels and not self.channels_ready():
            message = "The channels have not been read from Kafka yet. Try again later."
            return Rejected(reason=Reason.UNAVAILABLE, message=message)
        return command
