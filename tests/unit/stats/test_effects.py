"""Tests factor effects on made-up trials with known effects."""

import io
import math
import random
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from bench.report.terminal.run import effects_table
from bench.results.analysis import compute_design_effects as compute_effects

ROUNDS = 8


def design(noise: float = 0.02, **changes: Any) -> pd.DataFrame:
    """REST in two formats, at two sizes: avro saves a tenth, and a third of what a KiB more costs."""
    draw = random.Random(5)
    rows = []
    for round_ in range(1, ROUNDS + 1):
        luck = draw.gauss(0, 0.2)  # of the whole round
        for codec, factor, per_kib in (("json", 1.0, 30.0), ("avro", 0.9, 20.0)):
            for order_bytes in (1024, 65536):
                took_us = (4000 * factor + per_kib * order_bytes / 1024) * math.exp(luck + draw.gauss(0, noise))
                rows.append(
                    {
                        "round": round_,
                        "cell": f"rest+{codec}@{order_bytes}",
                        "transport": "rest",
                        "client": "aiohttp",
                        "codec": codec,
                        "order_bytes": order_bytes,
                        "valid": True,
                        "finish_p50_us": took_us,
                        **changes,
                    }
                )
    return pd.DataFrame(rows)


def the(found: pd.DataFrame, **wanted: Any) -> Mapping[str, Any]:
    for name, value in wanted.items():
        found = found[found[name] == value]
    (row,) = found.to_dict("records")
    return row


def test_a_level_is_set_against_the_base_in_each_context() -> None:
    found = compute_effects(design())
    small = the(found, kind="ratio", context="order_bytes=1024")
    large = the(found, kind="ratio", context="order_bytes=65536")
    assert (small["factor"], small["level"], small["base"]) == ("codec", "avro", "json")
    assert small["estimate"] == pytest.approx((3600 + 20) / (4000 + 30), rel=0.03)
    assert large["estimate"] == pytest.approx((3600 + 1280) / (4000 + 1920), rel=0.03)
    assert small["low"] < small["estimate"] < small["high"]


def test_the_luck_that_a_round_shares_is_not_in_a_ratio() -> None:
    row = the(compute_effects(design()), kind="ratio", context="order_bytes=1024")
    assert row["high"] / row["low"] < 1.1


def test_a_main_effect_is_over_all_contexts() -> None:
    row = the(compute_effects(design()), kind="main")
    assert row["n"] == ROUNDS
    assert 0.82 < row["estimate"] < 0.9


def test_a_main_effect_is_over_contexts_that_have_every_level_on_every_method() -> None:
    """gzip saves the same as zstd wherever both are, and gzip was tried where there is less to save, too."""
    rows = []
    for round_ in range(1, ROUNDS + 1):
        for transport, codec, levels in (
            ("rest", "json", ("none", "gzip", "zstd")),
            ("rest", "protobuf", ("none", "gzip")),
            ("events", "json", ("none", "gzip")),
            ("events", "protobuf", ("none", "gzip")),
        ):
            for level in levels:
                row = design().iloc[0].to_dict() | {"round": round_, "transport": transport, "codec": codec}
                saved = 1.0 if level == "none" else 0.5 if codec == "json" else 0.9
                row |= {"compression": level, "cell": f"{transport}+{codec}+{level}", "finish_p50_us": 1000 * saved}
                rows.append(row)
    found = compute_effects(pd.DataFrame(rows))
    for transport, level in (("rest", "gzip"), ("rest", "zstd"), ("events", "gzip")):
        main = the(found, kind="main", transport=transport, factor="compression", level=level)
        assert main["estimate"] == pytest.approx(0.5)
        assert main["context"] == ("" if level == "zstd" else "1 of 2 contexts")


def test_an_interaction_is_how_much_a_ratio_differs_between_contexts() -> None:
    row = the(compute_effects(design()), kind="interaction")
    expected = ((3600 + 1280) / (4000 + 1920)) / ((3600 + 20) / (4000 + 30))
    assert row["context"] == "order_bytes=65536 against 1024"
    assert row["estimate"] == pytest.approx(expected, rel=0.03)
    assert row["high"] < 1


def test_a_size_has_a_slope_and_what_is_left_at_0_in_each_context() -> None:
    found = compute_effects(design())
    for codec, per_kib, at_0 in (("json", 30.0, 4000.0), ("avro", 20.0, 3600.0)):
        slope, rest = (the(found, kind=kind, context=f"codec={codec}") for kind in ("slope", "at 0"))
        assert slope["low"] < per_kib < slope["high"]
        assert rest["low"] < at_0 < rest["high"]


def test_an_invalid_trial_is_left_out_and_so_is_a_cell_with_too_many() -> None:
    trials = design()
    trials.loc[0, "valid"] = False
    assert the(compute_effects(trials), kind="ratio", context="order_bytes=1024")["n"] == ROUNDS - 1
    trials.loc[trials["cell"] == "rest+avro@1024", "valid"] = False
    assert "order_bytes=1024" not in set(compute_effects(trials)["context"])


def test_where_no_factor_varies_there_are_no_effects() -> None:
    assert compute_effects(design(codec="json", order_bytes=1024)).empty
    assert compute_effects(design(valid=False)).empty


def test_a_round_that_is_censored_in_both_leaves_no_ratio_rather_than_a_flattering_one() -> None:
    trials = design()
    trials.loc[trials["round"] == 2, "finish_p50_us"] = math.inf
    for kind in ("ratio", "main", "interaction"):
        rows = compute_effects(trials)
        rows = rows[(rows["kind"] == kind) & (rows["factor"] == "codec")]
        assert len(rows)
        assert rows["estimate"].isna().all()
        assert rows["reason"].str.contains("both are censored").all()


def test_a_level_that_is_censored_in_some_rounds_counts_with_them_as_slower() -> None:
    trials = design()
    slow = (trials["codec"] == "avro") & (trials["order_bytes"] == 1024) & (trials["round"] <= 6)
    trials.loc[slow, "finish_p50_us"] = math.inf
    assert the(compute_effects(trials), kind="ratio", context="order_bytes=1024")["estimate"] == math.inf


def test_a_factor_with_one_context_has_a_main_effect_too() -> None:
    trials = design()
    small = trials[trials["order_bytes"] == 1024]
    assert the(compute_effects(small), kind="main")["n"] == ROUNDS


def test_what_one_method_varies_is_no_context_of_another() -> None:
    other = design(transport="grpc", client="grpcio", codec="protobuf")
    other = other.drop_duplicates(["round", "order_bytes"])
    other["cell"] = "grpc" + other["cell"]
    found = compute_effects(pd.concat([design(), other]))
    assert set(found[found["transport"] == "grpc"]["context"]) == {""}


def test_each_method_has_its_own() -> None:
    both = pd.concat([design(), design(transport="grpc", client="grpcio")])
    both["cell"] = both["transport"] + both["cell"]
    assert set(compute_effects(both)["transport"]) == {"rest", "grpc"}


def pairings(**changes: Any) -> pd.DataFrame:
    """Two methods over two products: events take twice as long, over Kafka a third more, both half again."""
    draw = random.Random(7)
    rows = []
    for round_ in range(1, ROUNDS + 1):
        luck = draw.gauss(0, 0.2)
        for transport, slower in (("broker", 1.0), ("events", 2.0)):
            for product, client, times in (("rabbitmq", "aio-pika", 1.0), ("kafka", "aiokafka", 4 / 3)):
                both = 1.5 if (transport, product) == ("events", "kafka") else 1.0
                took_us = 4000 * slower * times * both * math.exp(luck + draw.gauss(0, 0.01))
                rows.append(
                    design().iloc[0].to_dict()
                    | {"round": round_, "cell": f"{transport}+{product}", "transport": transport}
                    | {"product": product, "client": client, "finish_p50_us": took_us, **changes}
                )
    return pd.DataFrame(rows)


def test_methods_over_the_same_products_tell_the_method_from_the_product() -> None:
    found = compute_effects(pairings())
    assert set(found["transport"]) == {"broker", "events", "broker+events"}
    both = found[found["transport"] == "broker+events"]
    method, product = (the(both, factor=factor, kind="main") for factor in ("transport", "product"))
    assert (method["level"], method["base"]) == ("events", "broker")
    assert method["estimate"] == pytest.approx(2 * math.sqrt(1.5), rel=0.03)
    assert (product["level"], product["base"]) == ("kafka", "rabbitmq")
    assert product["estimate"] == pytest.approx(4 / 3 * math.sqrt(1.5), rel=0.03)
    alike = the(both, kind="interaction")
    assert alike["context"] == "product=kafka against rabbitmq"
    assert alike["estimate"] == pytest.approx(1.5, rel=0.03)


def test_a_client_that_goes_with_its_product_is_no_context_of_it() -> None:
    row = the(compute_effects(pairings()), transport="broker", kind="ratio")
    assert (row["factor"], row["level"], row["context"], row["client"]) == ("product", "kafka", "", "")
    assert row["estimate"] == pytest.approx(4 / 3, rel=0.03)


def test_the_product_is_said_where_a_method_has_one_throughout() -> None:
    trials = pairings()
    over = {"broker": "kafka", "events": "rabbitmq"}
    assert set(compute_effects(trials)["product"]) == {""}
    alone = trials[trials["transport"].map(over) == trials["product"]]
    both = compute_effects(pd.concat([alone, alone.assign(codec="avro", cell=alone["cell"] + "+avro")]))
    assert dict(zip(both["transport"], both["product"], strict=True)) == over


def test_clients_of_one_product_are_a_factor() -> None:
    trials = pairings(product="kafka")
    row = the(compute_effects(trials[trials["transport"] == "events"]), kind="main")
    assert (row["factor"], row["level"], row["base"]) == ("client", "aiokafka", "aio-pika")


def test_the_table_has_ratios_and_lines() -> None:
    Console(file=(text := io.StringIO()), width=100).print(effects_table(compute_effects(design())))
    assert "avro for json" in text.getvalue()
    assert "a KiB more" in text.getvalue()
    assert " x" in text.getvalue()


def test_bytes_are_not_compared_where_connections_are_closed() -> None:
    """What a closed one carried is not counted, and nothing would seem to be on the wire."""
    trials = design(wire_bytes_per_order=1.0).assign(keep_alive_s=lambda rows: (rows["codec"] == "avro") * 60.0)
    found = compute_effects(trials.assign(codec="json"))
    assert set(found[found["factor"] == "keep_alive_s"]["metric"]) == {"finish_p50_us"}
