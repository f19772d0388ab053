"""Tables for people: columns below each other, cut to a width; sizes and numbers as people say them."""

from coordinator.commands.tables import (
    cell,
    digits,
    letters,
    pairs,
    plain,
    size,
    table,
    wrapped,
)


def test_columns_begin_below_each_other_and_numbers_end_below_each_other() -> None:
    assert table(("model", "ram"), [("presence", 14_400), ("b", 900)]) == [
        "model        ram",
        "presence  14,400",
        "b            900",
    ]


def test_sizes_are_numbers_too() -> None:
    assert table(("ram",), [("64 kB",), ("812 B",)]) == ["  ram", "64 kB", "812 B"]


def test_what_is_not_there_is_a_dash_and_a_list_is_words() -> None:
    assert table(("a", "b"), [(None, ["co2", "light"]), ("x", [])]) == ["a  b", "-  co2, light", "x  -"]


def test_the_widest_column_of_words_is_cut_to_the_width() -> None:
    lines = table(("name", "ram"), [("a-very-long-name", 12)], 12)
    assert lines == ["name     ram", "a-very\N{HORIZONTAL ELLIPSIS}   12"]
    assert {len(line) for line in lines} == {12}


def test_a_column_keeps_six_letters_however_narrow_the_terminal() -> None:
    assert table(("name",), [("abcdefghij",)], 3) == ["name", "abcde\N{HORIZONTAL ELLIPSIS}"]


def test_wide_letters_take_two_columns() -> None:
    assert letters("\u623f\u9593") == 4
    assert table(("room", "n"), [("\u623f\u9593", 1), ("ab", 2)]) == ["room  n", "\u623f\u9593  1", "ab    2"]


def test_what_a_terminal_would_obey_is_shown_as_question_marks() -> None:
    assert plain("a\x1b[2Jb\u202ec") == "a?[2Jb?c"
    assert cell("two\nlines") == "two?lines"


def test_bytes_have_the_unit_that_leaves_few_digits() -> None:
    told = [size(count) for count in (0, 812, 6800, 64_000, 999_700, 1_000_000, 2_100_000, 3 * 10**9)]
    assert told == ["0 B", "812 B", "6.8 kB", "64 kB", "1 MB", "1 MB", "2.1 MB", "3 GB"]


def test_numbers_have_three_digits_that_count() -> None:
    told = [digits(value) for value in (12345, 98.52, 0.01234, 3.0, 0.00001, -2.5, 1234.5)]
    assert told == ["12,345", "98.5", "0.0123", "3", "1.00e-05", "-2.5", "1,234"]


def test_a_value_that_is_too_long_goes_on_below_its_beginning() -> None:
    assert pairs([("name", "Room 1"), ("why", "it has no sensor of CO2 there"), ("empty", "")], 26) == [
        "name  Room 1",
        "why   it has no sensor of",
        "      CO2 there",
    ]


def test_a_word_longer_than_the_line_stays_whole() -> None:
    assert wrapped("urn:tegu:home:room-1 is", 8) == ["urn:tegu:home:room-1", "is"]
