"""The planted bugs: what each is, where it is planted, and the test that catches it."""

from dataclasses import dataclass

CORE = "airy_identify/core/"
TABLE = "tests/property/test_laws_of_the_table.py::Test"
MERGES = "tests/property/test_laws_of_merges.py::Test"
ATTACH = "tests/property/test_laws_of_attach.py::Test"
PRIVACY = "tests/property/test_laws_of_privacy.py::Test"
ORDER = "tests/property/test_order_independence.py::test_a_merge_compatible_set_ends_in_the_same_people_in_any_order"
MODEL = "tests/model/test_identity_rules.py::TestIdentityRules"
LIMITS = "tests/model/test_identity_rules.py::TestIdentityRulesWithSmallLimits"


@dataclass(frozen=True)
class Bug:
    """`old`, which is in the file exactly once, becomes `new`; then `test` has to fail."""

    what: str
    file: str
    old: str
    new: str
    test: str


BUGS = (
    Bug(
        "released identifiers stay in the index",
        CORE + "index.py",
        "if key not in owners_after]",
        "if key not in owners_after and isinstance(key, AliasKey)]",
        TABLE + "OneLiveOwnerPerIdentifier",
    ),
    Bug(
        "a value in conflict is taken although somebody has it",
        CORE + "claims.py",
        "    return Conflict(key=key)",
        "    return Added(key=key)",
        TABLE + "OneLiveOwnerPerIdentifier",
    ),
    Bug(
        "ids that the other had taken in are lost in a merge",
        CORE + "merging.py",
        "aliases=(*survivor.aliases, *all_ids(other)),",
        "aliases=(*survivor.aliases, other.id),",
        TABLE + "EveryAliasEndsAtALiveContactInOneHop",
    ),
    Bug(
        "who came back stays an alias of the survivor",
        CORE + "parting.py",
        "aliases=tuple(alias for alias in contact.aliases if alias not in ids),",
        "aliases=contact.aliases,",
        TABLE + "EveryAliasEndsAtALiveContactInOneHop",
    ),
    Bug(
        "both keep the conversations after an unmerge",
        CORE + "parting.py",
        "conversations=tuple(each for each in contact.conversations if each.id not in had),",
        "conversations=contact.conversations,",
        TABLE + "EveryConversationHasOneOwner",
    ),
    Bug(
        "the conversations of whoever ended are lost",
        CORE + "merging.py",
        "conversations=(*survivor.conversations, *other.conversations),",
        "conversations=survivor.conversations,",
        TABLE + "EveryConversationHasOneOwner",
    ),
    Bug(
        "a clock decides",
        CORE + "identify.py",
        "    return max(contact.updated_at_ms, command.accepted_at_ms)",
        '    return max(contact.updated_at_ms, __import__("time").time_ns())',
        TABLE + "ReplayGivesTheSameBytes",
    ),
    Bug(
        "a patch that changes nothing counts as a change",
        CORE + "metadata.py",
        "    return merged if changed else target",
        "    return merged",
        TABLE + "ADuplicateChangesNothing",
    ),
    Bug(
        "releasing what is not held writes a row",
        CORE + "release.py",
        "    if released is not contact:",
        "    if released is not None:",
        TABLE + "ADuplicateChangesNothing",
    ),
    Bug(
        "a visitor is not found again on the same device",
        CORE + "keys.py",
        "    if level_of(owner) is not Level.ANONYMOUS:",
        "    if level_of(owner) is Level.ANONYMOUS:",
        TABLE + "ARepeatedRequestFindsTheSame",
    ),
    Bug(
        "an untouched survivor counts as touched once a third contact came and went",
        CORE + "journal.py",
        "touched = replace(contact, known=left.known, separations=left.separations)",
        "touched = contact",
        TABLE + "MergeThenUnmergeOfUntouchedContactsIsByteIdentical",
    ),
    Bug(
        "an exact unmerge leaves the survivor's time",
        CORE + "unmerge.py",
        "        return row.survivor, row.merged",
        "        return replace(row.survivor, updated_at_ms=contact.updated_at_ms), row.merged",
        TABLE + "MergeThenUnmergeOfUntouchedContactsIsByteIdentical",
    ),
    Bug(
        "hard contacts end in others by a request",
        CORE + "claims.py",
        "if level_of(other) is Level.HARD or contradicts(",
        "if contradicts(",
        MERGES + "HardContactsAreMergedByCommandOnly",
    ),
    Bug(
        "separated contacts end in others by a request",
        CORE + "claims.py",
        " or is_separated(other, target):",
        ":",
        MERGES + "SeparatedContactsAreMergedByCommandOnly",
    ),
    Bug(
        "a separation does not count for those who took one of the two in",
        CORE + "merging.py",
        "    ids = set(all_ids(other))",
        "    ids = {other.id}",
        "tests/unit/core/test_unmerge.py",
    ),
    Bug(
        "the soft target ends in the hard match although they were separated",
        CORE + "target.py",
        "        and not is_separated(soft, hard)\n",
        "",
        "tests/unit/core/test_target.py",
    ),
    Bug(
        "a device finds a known contact",
        CORE + "keys.py",
        "    if level_of(owner) is not Level.ANONYMOUS:",
        "    if level_of(owner) is Level.HARD:",
        PRIVACY + "NoAnswerShowsChatsOfKnownPeopleToOthers",
    ),
    Bug(
        "whoever came back by an unmerge is anonymous again",
        CORE + "unmerge.py",
        "replace(restored, known=True, ",
        "replace(restored, ",
        PRIVACY + "NoAnswerShowsChatsOfKnownPeopleToOthers",
    ),
    Bug(
        "a contact is known only as long as it has the value",
        CORE + "attributes.py",
        "        known=target.known or bool(gained),\n",
        "        known=target.known,\n",
        PRIVACY + "NoAnswerShowsChatsOfKnownPeopleToOthers",
    ),
    Bug(
        "a warning names the other contact",
        CORE + "claims.py",
        "belongs to another contact and was not taken from it",
        "belongs to {claim.key.owner.id if claim.key.owner else None}",
        PRIVACY + "NoAnswerHasDataOfAnotherContact",
    ),
    Bug(
        "an explanation names the contact that had the value",
        CORE + "explain.py",
        "level=None if owner is None else level_of(owner), outcome=outcome, why=why",
        "level=None if owner is None else level_of(owner), outcome=outcome, why=f'{why} {owner and owner.id}'",
        PRIVACY + "NoAnswerHasDataOfAnotherContact",
    ),
    Bug(
        "an agent logs what it decides",
        "airy_identify/stream/agents/identity.py",
        "        command = decode_command(record.value)\n",
        "        command = decode_command(record.value)\n"
        '        __import__("logging").getLogger().warning("decided %s", command)\n',
        PRIVACY + "NoAnswerHasDataOfAnotherContact",
    ),
    Bug(
        "the journal of a forgotten contact stays",
        CORE + "forget.py",
        "    writes += [(key, None) for key in journal_keys(table, command.tenant, contact.id, contact.merge_count)]\n",
        "",
        PRIVACY + "WhatIsForgottenIsNowhere",
    ),
    Bug(
        "the first conversation of a forgotten contact keeps its last message",
        "airy_identify/stream/agents/identity.py",
        "in decided.forgotten:",
        "in decided.forgotten[1:]:",
        PRIVACY + "WhatIsForgottenIsNowhere",
    ),
    Bug(
        "others stay separated from a forgotten contact",
        CORE + "forget.py",
        "    writes += _reconcile(contact, table, command.tenant)\n",
        "",
        "tests/unit/core/test_contact_commands.py::test_whoever_was_separated_from_a_forgotten_contact_is_so_no_longer",
    ),
    Bug(
        "a late message revives a forgotten conversation",
        CORE + "conversation.py",
        "    if isinstance(row, Forgotten):\n        return None\n    if row is None:",
        "    if row is None or isinstance(row, Forgotten):",
        PRIVACY + "WhatIsForgottenIsNowhere",
    ),
    Bug(
        "the soft target never ends in the one hard match",
        CORE + "target.py",
        "        if len(hard) == 1 and",
        "        if len(hard) > 1 and",
        ORDER,
    ),
    Bug(
        "nobody is promoted",
        CORE + "target.py",
        "        if level_of(match.contact) is not Level.HARD and not contradicts(match.contact, command):",
        "        if level_of(match.contact) is Level.HARD and not contradicts(match.contact, command):",
        MODEL,
    ),
    Bug(
        "whoever is matched by phone number never ends in others",
        CORE + "claims.py",
        "    return match.by_email or email is None or verified_email(target) in {None, email}",
        "    return match.by_email",
        ORDER,
    ),
    Bug(
        "a soft contact changes its e-mail through its phone number",
        CORE + "target.py",
        "    return owner.email.verified and command.email.verified and owner.email.value != command.email.value",
        "    return False",
        MODEL,
    ),
    Bug(
        "an unverified e-mail contradicts",
        CORE + "target.py",
        "    return owner.email.verified and command.email.verified and",
        "    return command.email.verified and",
        MODEL,
    ),
    Bug(
        "a dry run writes",
        CORE + "identify.py",
        "    writes = () if command.dry_run else _writes(command, person, offset)",
        "    writes = _writes(command, person, offset)",
        MODEL,
    ),
    Bug(
        "custom values drop out although the request names them",
        CORE + "custom_kinds.py",
        "        if excess > 0 and value not in keep:",
        "        if excess > 0:",
        MODEL,
    ),
    Bug(
        "the other's unverified e-mail survives a merge",
        CORE + "merging.py",
        "    if others is None or not others.verified or (mine is not None and mine.verified):",
        "    if others is None or (mine is not None and mine.verified):",
        MODEL,
    ),
    Bug(
        "metadata that was changed since leaves with an unmerge",
        CORE + "parting.py",
        "    if same_json(now, brought):\n",
        "    if type(now) is type(brought):\n",
        MODEL,
    ),
    Bug(
        "a tenant gets a token for a conversation on another channel",
        CORE + "give_token.py",
        "        if wanted not in {",
        "        if not contact.conversations and wanted not in {",
        MODEL,
    ),
    Bug(
        "a merge by command is not bounded",
        CORE + "merging.py",
        "    return merged if _is_within_limits(merged) else None",
        "    return merged",
        LIMITS,
    ),
    Bug(
        "metadata grows without end by patches",
        CORE + "metadata.py",
        "    if merged is metadata or len(canonical_json(merged)) <= METADATA_BYTES_MAX:",
        "    if merged is not None:",
        LIMITS,
    ),
    Bug(
        "a token takes a known person's conversation",
        CORE + "attach.py",
        "level_of(owner) is not Level.ANONYMOUS",
        "level_of(owner) is Level.HARD",
        ATTACH + "AKnownPersonsConversationChangesHandsByMergesOnly",
    ),
    Bug(
        "a token shows a hard contact's chat to others",
        CORE + "attach.py",
        "level_of(owner) is not Level.ANONYMOUS",
        "level_of(owner) is Level.KNOWN",
        PRIVACY + "NoAnswerShowsChatsOfKnownPeopleToOthers",
    ),
    Bug(
        "a conversation that is not attached gives no warning",
        CORE + "attach.py",
        "    if conversation is None or (",
        "    if conversation is None:\n        return None\n    if (",
        ATTACH + "AConversationIsAttachedOrAWarningSaysThatItIsNot",
    ),
    Bug(
        "the anonymous contact keeps the conversation too",
        CORE + "identify.py",
        "        losers[before.id] = before, replace(after, conversations=conversations)\n",
        "",
        TABLE + "EveryConversationHasOneOwner",
    ),
    Bug(
        "a token revives a forgotten conversation",
        CORE + "attach.py",
        "    if owner is None:\n        return ContactConversation(",
        "    if owner is None or isinstance(owner, Forgotten):\n        return ContactConversation(",
        ATTACH + "AForgottenConversationIsNeverAttached",
    ),
    Bug(
        "an unmerge brings a conversation back that was attached to somebody else since",
        CORE + "parting.py",
        "(each for each in before.conversations if each.id in left)",
        "(before.conversations)",
        "tests/unit/core/test_attach.py",
    ),
    Bug(
        "a conversation is attached although the two e-mails differ",
        CORE + "attach.py",
        " and owner.email.value != command.email.value:",
        " and owner.email.value == command.email.value + '!':",
        "tests/unit/core/test_attach.py",
    ),
    Bug(
        "separated contacts share a conversation by its token",
        CORE + "attach.py",
        "return not isinstance(owner, Contact) or not is_separated(owner, target)",
        "return True",
        "tests/unit/core/test_attach.py",
    ),
    Bug(
        "a token of another channel counts",
        "airy_identify/intake/tokens.py",
        " or found.channel_id != channel_id",
        "",
        "tests/unit/intake/test_tokens.py",
    ),
    Bug(
        "the token itself is put into the log",
        "airy_identify/intake/tokens.py",
        "return Attach(conversation_id=found.conversation_id)",
        "return Attach(conversation_id=type(found.conversation_id)(token.text))",
        "tests/unit/intake/test_tokens.py",
    ),
    Bug(
        "a client may act for every tenant",
        "airy_identify/intake/clients.py",
        "allowed_tenants=self.tenants,",
        "allowed_tenants=None,",
        "tests/web/test_clients.py",
    ),
    Bug(
        "a secret that was taken out counts on",
        "airy_identify/web/callers.py",
        'compare_digest(self._known.get(each, b""), fast) for each in hashes)',
        "compare_digest(known, fast) for known in self._known.values())",
        "tests/web/test_clients.py",
    ),
    Bug(
        "wrong secrets wait without end",
        "airy_identify/web/callers.py",
        "if self._waiting[queue] >= TURNS_PER_NAME_MAX:",
        "if self._waiting[queue] >= 10_000:",
        "tests/web/test_clients.py",
    ),
    Bug(
        "a client's JWT is good for ever",
        "airy_identify/intake/client_secrets.py",
        "and now_s < expires_at_s <= issued_at_s + JWT_LIFETIME_S_MAX",
        "and now_s < expires_at_s",
        "tests/web/test_clients.py",
    ),
    Bug(
        "a phone number is stored as it matches, not as it was given",
        "airy_identify/wire/fragments.py",
        '"value": phone.value',
        '"value": phone.key',
        "tests/wire/test_rows.py",
    ),
)
