import pytest

from airy_identify.core.ids import from_name


@pytest.mark.parametrize(
    ("namespace", "name", "expected"),
    [
        ("test", "test", "51abb963-6078-5efb-b888-d8457a7c76f8"),
        ("source", "98ce13ef-5469-4db3-af62-579be61cfaa4", "e5fc97f1-2f2d-53c5-85c7-97a83b17e9ff"),
    ],
)
def test_ids_are_those_of_airy(namespace: str, name: str, expected: str) -> None:
    assert from_name(name, namespace=namespace) == expected


def test_without_a_namespace_the_name_stands_alone() -> None:
    assert from_name("testtest") == from_name("test", namespace="test")
