from airy_identify.core.explain import MATCHED, MERGED, MERGED_BY_COMMAND, TAKEN_OVER, UNVERIFIED, why_held, why_merged


def test_a_merge_was_asked_for_or_a_field_brought_it_about() -> None:
    assert why_merged("command") == MERGED_BY_COMMAND
    assert why_merged("identifiers.device") == f"identifiers.device: {MERGED}"


def test_a_value_is_held_by_the_rule_of_its_kind() -> None:
    assert why_held("email") == MATCHED
    assert why_held("email", verified=False) == UNVERIFIED
    assert why_held("device") == TAKEN_OVER
