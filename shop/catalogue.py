"""Product names and prices, computed from constants so that every process has the same."""

from collections.abc import Mapping
from itertools import product

_QUALITIES = ("Amber", "Birch", "Cobalt", "Dusk", "Ember", "Fern", "Granite", "Harbour", "Indigo", "Juniper")
_THINGS = ("kettle", "lamp", "notebook", "rucksack", "scarf", "teapot", "umbrella", "vase", "wallet", "clock")

SHORTEST_SKU = "SKU-1"
SOLD_OUT_SKU = "SKU-0"
"""Listed but never in stock, so that a workload can plan an order that fails."""

PRODUCT_NAMES: Mapping[str, str] = {SHORTEST_SKU: "Pen"} | {
    f"SKU-{number:04d}": f"{quality} {thing}" for number, (quality, thing) in enumerate(product(_QUALITIES, _THINGS))
}
"""By SKU, what the buyer reads."""

PRICES_CENTS: Mapping[str, int] = {sku: 199 + 137 * number for number, sku in enumerate(PRODUCT_NAMES)}

UNLIMITED_STOCK = 10**12
"""Stock that no plan exhausts."""
