from hypothesis import given
from hypothesis import strategies as st

from walker_dest_customerio.identity import identifiers, identity, person_keys


def test_text_is_an_identity_and_the_empty_text_is_none() -> None:
    assert identity("u1") == "u1"
    assert identity("") is None


def test_numbers_are_identities_as_texts_and_booleans_are_none() -> None:
    assert [identity(42), identity(42.0), identity(4.5)] == ["42", "42", "4.5"]
    assert identity(True) is None


@given(st.one_of(st.none(), st.lists(st.text()), st.dictionaries(st.text(), st.text())))
def test_nothing_else_is_an_identity(value: object) -> None:
    assert identity(value) is None


def test_not_a_number_and_infinity_are_no_identities() -> None:
    assert identity(float("nan")) is None
    assert identity(float("inf")) is None


def test_number_of_more_digits_than_an_id_is_no_identity() -> None:
    assert identity(10**149) == "1" + "0" * 149
    assert [identity(10**400), identity(-(10**5000)), identity(1e300)] == [None] * 3


def test_identifier_is_told_from_its_shape_as_version_1_does() -> None:
    assert identifiers("42") == {"id": "42"}
    assert identifiers("a@b.com") == {"email": "a@b.com"}
    assert identifiers("cio_a3000001") == {"cio_id": "a3000001"}
    assert identifiers("not@email") == {"id": "not@email"}


def test_same_email_in_another_case_is_the_same_person() -> None:
    assert person_keys({"email": "A@B.com"}) == person_keys({"email": "a@b.com"})


def test_keys_name_everyone_an_object_names_and_pass_over_other_values() -> None:
    assert person_keys({"id": "1", "email": "a@b.com", "plan": "pro"}) == ("id:1", "email:a@b.com")
    assert person_keys({"id": 1, "cio_id": None}) == ()
