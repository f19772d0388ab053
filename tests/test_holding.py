"""The condition language of deployments: what can be said, what holds, and what is told when it does not."""

import pytest

from coordinator.deploying.holding import Comparison, Metric, parse

NAN, INF = float("nan"), float("inf")


def test_the_texts_of_the_guide_are_read() -> None:
    assert parse("loss_after <= 0.5").comparisons == (Comparison("loss_after", "<=", 0.0, "", 0.5),)
    assert parse("loss_after<=loss_before").comparisons == (Comparison("loss_after", "<=", 1.0, "loss_before", 0.0),)
    assert parse("loss_after <= 1.1 * before").comparisons == (Comparison("loss_after", "<=", 1.1, "before", 0.0),)
    assert parse("accuracy >= before - 0.02, samples > 1e3").comparisons == (
        Comparison("accuracy", ">=", 1.0, "before", -0.02),
        Comparison("samples", ">", 0.0, "", 1000.0),
    )


def test_an_empty_text_asks_nothing() -> None:
    assert parse("  ") == Metric(())
    assert parse("").fault({}, {}) == ""


@pytest.mark.parametrize(
    "text",
    ["loss_after", "loss_after = 0.5", "before <= 1", "0.5 >= loss", "loss <= 0.5,", "loss <= 1 * 2", "loss <= 1e999"],
)
def test_what_cannot_be_read_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"write it like 'loss_after <= 0.5'"):
        parse(text)


def test_each_sign_at_its_limit() -> None:
    at = {"loss": 0.5}
    faults = {sign: parse(f"loss {sign} 0.5").fault(at, {}) for sign in ("<=", "<", ">=", ">")}
    assert faults == {"<=": "", "<": "loss is 0.5, not less than 0.5", ">=": "", ">": "loss is 0.5, not more than 0.5"}


def test_before_is_the_same_number_of_the_earlier_model() -> None:
    metric = parse("loss_after <= 1.1 * before + 0.01")
    assert metric.fault({"loss_after": 0.45}, {"loss_after": 0.4}) == ""  # 0.45 = 0.44 + 0.01
    assert metric.fault({"loss_after": 0.46}, {"loss_after": 0.4}) == "loss_after is 0.46, more than 0.45"


def test_all_parts_must_hold_and_the_first_that_fails_is_told() -> None:
    metric = parse("loss_after <= loss_before, heap >= 100")
    assert metric.names == ("loss_after", "loss_before", "heap")
    assert metric.fault({"loss_after": 1.0, "loss_before": 2.0, "heap": 99.0}, {}) == "heap is 99, less than 100"
    assert metric.fault({"loss_after": 3.0, "loss_before": 2.0, "heap": 9.0}, {}) == "loss_after is 3, more than 2"


def test_only_a_metric_that_compares_with_the_earlier_model_uses_it() -> None:
    assert [parse(text).uses_before for text in ("a <= b", "a <= before", "a <= 1, b < 2 * before")] == [
        False,
        True,
        True,
    ]


def test_a_telemetry_has_values_only_with_every_number_finite() -> None:
    metric = parse("loss_after <= loss_before")
    assert metric.values({"loss_before": 2, "loss_after": 1, "boot": 9}) == (1.0, 2.0)
    assert [metric.values({"loss_before": 2, **rest}) for rest in ({}, {"loss_after": NAN}, {"loss_after": INF})] == [
        None
    ] * 3


def test_the_mean_is_over_devices_whatever_number_of_telemetries_each_has() -> None:
    assert parse("loss <= 1").means([[(1.0,), (3.0,)], [(8.0,)]]) == {"loss": 5.0}  # (2 + 8) / 2, not 12 / 3
    assert parse("loss <= 1").means([]) == {}


def test_what_overflows_holds_nothing() -> None:
    metric = parse("loss <= 10 * before")
    mean = metric.means([[(1e308,), (1e308,)]])
    assert metric.fault(mean, mean) == "loss is inf, to be compared with inf"
