"""Examples of answers, by the name of their Avro record: what comes back when the examples of requests go well."""

from typing import Any

from airy_identify.web.openapi.operations import CHANNEL_ID, CONTACT_ID, CONVERSATION_ID, OTHER_CONTACT_ID

_REQUEST_ID = "login-2024-11-22-4711"
_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI5OGNlMTNlZiJ9.R5kq0bGmQJmHk0w1cC1sV8m6oE2nQyQm8m4rXb7yZ3A"  # noqa: S105 - made up

_CONTACT: dict[str, Any] = {
    "id": CONTACT_ID,
    "external_id": "user-4711",
    "email": "anna@example.org",
    "phone_number": "+491701234567",
    "identifiers": {"device_id": ["d-1"]},
    "display_name": None,
    "first_name": "Anna",
    "last_name": None,
    "avatar_url": None,
    "metadata": {"first_name": "Anna", "plan": "pro"},
    "unverified": [],
    "created_at": "2024-11-22T09:30:00.000Z",
    "updated_at": "2024-11-22T09:30:00.000Z",
}
_CONVERSATION: dict[str, Any] = {
    "id": CONVERSATION_ID,
    "created_at": "2024-11-22T09:30:00.000Z",
    "channel": {"id": CHANNEL_ID, "source": "chatplugin"},
    "resume_token": _TOKEN,
    "last_message": {
        "id": "0d6a3c5e-7f5b-4b1f-9a55-3b9d3f3f0c01",
        "content": {"text": "Hello"},
        "sent_at": "2024-11-22T09:31:07.250Z",
        "delivery_state": "delivered",
        "from_contact": True,
        "source": "chatplugin",
        "metadata": {},
        "sender": {"id": CONVERSATION_ID, "name": None, "avatar_url": None},
    },
}
_OTHER = _CONTACT | {
    "id": OTHER_CONTACT_ID,
    "external_id": None,
    "email": None,
    "identifiers": {"device_id": ["d-2"]},
    "phone_number": None,
    "metadata": {},
    "first_name": None,
}

ANSWERS: dict[str, dict[str, Any]] = {
    "IdentifyResponse": {
        "request_id": _REQUEST_ID,
        "contact": _CONTACT,
        "conversations": [_CONVERSATION],
        "created": {"contact": False, "conversation": False},
        "merged": [OTHER_CONTACT_ID],
        "warnings": [],
        "truncated": False,
    },
    "InfoResponse": {
        "request_id": _REQUEST_ID,
        "contact": _CONTACT,
        "conversations": [_CONVERSATION | {"resume_token": None}],
        "aliases": [OTHER_CONTACT_ID],
        "journal": [],
        "truncated": False,
    },
    "ContactResponse": {"request_id": _REQUEST_ID, "contact": _CONTACT},
    "UnmergeResponse": {"request_id": _REQUEST_ID, "contact": _CONTACT, "restored": _OTHER},
    "ForgetResponse": {"request_id": _REQUEST_ID},
    "ResumeTokenResponse": {"request_id": _REQUEST_ID, "resume_token": _TOKEN},
}


def error_example(code: str, message: str) -> dict[str, Any]:
    """Return an error with this code."""
    return {"message": message, "code": code, "field": None, "request_id": _REQUEST_ID}
