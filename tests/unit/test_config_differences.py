"""Where two configurations differ, by dotted key."""

from sweep.config.diff import Difference, find_differences


def test_nested_blocks_are_compared_key_by_key() -> None:
    """The same number written as 1 and 1.0 is no difference; a block in place of a value is one key more, one less."""
    one = {"a": {"b": 1, "c": {"d": "x"}}, "e": [1, 2]}
    assert not [*find_differences(one, {"a": {"b": 1.0, "c": {"d": "x"}}, "e": [1, 2]})]
    other = {"a": {"b": 2, "c": None}, "e": [2, 1], "f": True}
    assert [*find_differences(one, other)] == [
        Difference("a.b", "1", "2"),
        Difference("a.c.d", "'x'", "absent"),
        Difference("e", "[1, 2]", "[2, 1]"),
        Difference("a.c", "absent", "None"),
        Difference("f", "absent", "True"),
    ]
