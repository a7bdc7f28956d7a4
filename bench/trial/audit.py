"""Whether the shop's own books agree with what the driver was told: stock and money that add up, nothing done twice."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.load.protocol import Audit, added
from bench.load.recorder import Sum

Books = Mapping[str, Mapping[str, Any]]
"""By service what bench.provision.service_main.audit_of gives."""

_NOTHING = {"count": 0, "amount_cents": 0, "order_ids": 0}


def together(parts: Sequence[tuple[str, Mapping[str, Any]]], *, shared: bool) -> dict[str, Any]:
    """The books of all processes of a service in one, by service. ``shared``: they have one store, so one balance."""
    books: dict[str, dict[str, Any]] = {}
    for service in dict.fromkeys(name for name, _ in parts):
        of_service = [dict(part) for name, part in parts if name == service]
        books[service] = added(of_service)
        if shared:
            books[service]["balance"] = of_service[0]["balance"]
    return books


def problems(driver: Audit, books: Books) -> list[str]:
    """What does not add up, a phrase each; empty when the audit closes.

    Orders that failed or did not finish may have gone any part of their way at the shop without the driver hearing of
    it: by so many may the shop be ahead of the driver. Without any, everything is an identity.
    """
    found: list[str] = []

    def same(what: str, left: Mapping[str, int], right: Mapping[str, int], *keys: str) -> None:
        for key in keys:
            if left[key] != right[key]:
                found.append(f"{what}: {key} {left[key]:,} against {right[key]:,}")

    shipped, rejected = _tally(books, "user", "shipped"), _tally(books, "user", "rejected")
    taken, declined = _tally(books, "payment", "payment-taken"), _tally(books, "payment", "payment-declined")
    reserved, released = _tally(books, "product", "stock-reserved"), _tally(books, "product", "stock-released")
    sent_off, sold_out = _tally(books, "shipping", "order-shipped"), _tally(books, "product", "out-of-stock")
    open_orders = books["user"]["balance"]["open"]
    unheard = driver.failed + driver.unfinished

    if books["product"]["balance"]["missing"]:
        found.append(f"{books['product']['balance']['missing']:,} units are neither in stock nor reserved")
    if books["payment"]["balance"]["taken_cents"] != taken["amount_cents"]:
        found.append("the till does not hold what was taken")
    if not unheard:
        same("shipments and charges", sent_off, taken, "count", "amount_cents", "order_ids")
        same("shipments and orders told as shipped", sent_off, shipped, "count", "amount_cents", "order_ids")
        same("declined cards and stock released", declined, released, "count", "order_ids")
        if reserved["count"] != taken["count"] + declined["count"]:
            found.append(f"{reserved['count']:,} reservations, {taken['count'] + declined['count']:,} answers")
        if rejected["count"] != released["count"] + sold_out["count"]:
            found.append(f"{rejected['count']:,} rejections, {released['count'] + sold_out['count']:,} reasons")
        if open_orders:
            found.append(f"{open_orders:,} orders are still open at the shop")
        same("shipped, at the shop and at the driver", shipped, _builtins(driver.shipped), *_NOTHING)
        same("rejected, at the shop and at the driver", rejected, _builtins(driver.rejected), "count", "order_ids")
    else:
        told = driver.shipped.count + driver.rejected.count
        for what, ahead in (
            ("orders ended", shipped["count"] + rejected["count"] - told),
            ("shipments", sent_off["count"] - driver.shipped.count),
            ("charges", taken["count"] - driver.shipped.count),
        ):
            if not 0 <= ahead <= unheard:
                found.append(f"the shop has {ahead:,} {what} more than the driver heard of, {unheard:,} were in doubt")
        # Each is committed before the next service hears of it, so that only the last may be missing.
        if not sent_off["count"] <= taken["count"] <= reserved["count"] - declined["count"]:
            found.append(
                f"{sent_off['count']:,} shipments of {taken['count']:,} charges of {reserved['count']:,} reservations, "
                f"{declined['count']:,} cards declined"
            )
        if released["count"] > declined["count"]:
            found.append(f"{released['count']:,} reservations released of {declined['count']:,} declined cards")
    return found


def charged_unheard(driver: Audit, books: Books) -> int:
    """How many orders were charged of whose shipment the driver never heard."""
    return max(0, _tally(books, "payment", "payment-taken")["count"] - driver.shipped.count)


def asked_again(books: Books) -> int:
    """Messages that a service had answered before: it told the same again, and did nothing twice.

    A service that was started again counts from there.
    """
    return sum(book["repeated"] for book in books.values())


def lost(driver: Audit, accepted_unfinished: int, books: Books) -> int:
    """Of the orders that were accepted and did not finish, how many at the least the shop has not ended either.

    One that the driver took for failed, and that the shop ended, may hide another that is lost.
    """
    ended = _tally(books, "user", "shipped")["count"] + _tally(books, "user", "rejected")["count"]
    unheard_of = ended - driver.shipped.count - driver.rejected.count
    return max(0, accepted_unfinished - max(0, unheard_of))


def _tally(books: Books, service: str, fact: str) -> Mapping[str, int]:
    tally: Mapping[str, int] = books[service]["tallies"].get(fact, _NOTHING)
    return tally


def _builtins(total: Sum) -> Mapping[str, int]:
    return {key: getattr(total, key) for key in _NOTHING}
