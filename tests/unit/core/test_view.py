from airy_identify.core.view import view_contact
from tests.builders import make_contact, make_custom, make_email, make_phone_number


def test_everything_is_shown() -> None:
    contact = make_contact(
        external_id="u1",
        email="a@b.cd",
        phone_number=make_phone_number("+5215512345678", key="+525512345678"),
        identifiers={"device_id": ["d1", "d2"]},
        metadata={"display_name": "Ann A.", "first_name": "Ann", "last_name": "A.", "avatar_url": "https://a", "x": 1},
        created_at_ms=1,
        updated_at_ms=2,
    )
    view = view_contact(contact)
    assert (view.id, view.external_id, view.email, view.phone_number) == (
        contact.id,
        "u1",
        "a@b.cd",
        "+5215512345678",
    )
    assert view.identifiers == make_custom({"device_id": ["d1", "d2"]})
    assert (view.display_name, view.first_name, view.last_name, view.avatar_url) == ("Ann A.", "Ann", "A.", "https://a")
    assert view.metadata == contact.metadata
    assert (view.created_at_ms, view.updated_at_ms) == (1, 2)
    assert view.unverified == ()


def test_absent_attributes_are_null() -> None:
    view = view_contact(make_contact())
    assert (view.external_id, view.email, view.phone_number, view.identifiers) == (None, None, None, ())
    assert (view.display_name, view.first_name, view.last_name, view.avatar_url) == (None, None, None, None)


def test_a_name_that_is_no_text_is_null() -> None:
    assert view_contact(make_contact(metadata={"display_name": 7})).display_name is None


def test_unverified_values_are_shown_and_named_in_rank_order() -> None:
    view = view_contact(
        make_contact(
            email=make_email("a@b.cd", verified=False), phone_number=make_phone_number("+49301", verified=False)
        )
    )
    assert (view.email, view.phone_number, view.unverified) == ("a@b.cd", "+49301", ("email", "phone_number"))
    verified_email = make_contact(email="a@b.cd", phone_number=make_phone_number("+49301", verified=False))
    assert view_contact(verified_email).unverified == ("phone_number",)


def test_somebody_yet_to_be_made_has_no_id_and_no_times() -> None:
    view = view_contact(make_contact(external_id="u1"), exists=False)
    assert (view.id, view.created_at_ms, view.updated_at_ms, view.external_id) == (None, None, None, "u1")
