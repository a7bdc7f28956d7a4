"""Compares the shop's audit with the driver's counts: stock, money, lost orders."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.load.merging import WRAPPING_SUMS, sum_audits
from bench.load.protocol import DriverAudit
from bench.load.recorder import PackedTally

ServiceAudits = Mapping[str, Mapping[str, Any]]
"""The audits of bench.provision.service_main.audit_of, by service."""

_DRIVER_KEYS = ("count", "amount_cents", *WRAPPING_SUMS)
_HASHED = {"order_ids": "the order ids", "contents": "the orders' contents"}
_EMPTY_TALLY = {**dict.fromkeys(_DRIVER_KEYS, 0), "units": 0}


def merge_process_audits(parts: Sequence[tuple[str, Mapping[str, Any]]], *, shared: bool) -> dict[str, Any]:
    """Merges the audits of a service's processes, by service.

    ``shared``: the processes have one store, so one balance and one size.
    """
    books: dict[str, dict[str, Any]] = {}
    for service in dict.fromkeys(name for name, _ in parts):
        of_service = [dict(part) for name, part in parts if name == service]
        books[service] = sum_audits(of_service)
        if shared:
            books[service] |= {key: of_service[0][key] for key in ("balance", "store_bytes")}
    return books


def find_problems(driver: DriverAudit, books: ServiceAudits) -> list[str]:
    """Returns what does not add up, a phrase each; empty when the audit closes.

    An order that failed or did not finish may have been processed in part without the driver knowing: by so many may
    the shop be ahead of the driver. Without such orders, both sides must be equal.
    """
    found: list[str] = []

    def same(what: str, left: Mapping[str, int], right: Mapping[str, int], *keys: str) -> None:
        for key in keys:
            if left[key] != right[key] and key in WRAPPING_SUMS:
                found.append(f"{what}: {_HASHED[key]} differ")
            elif left[key] != right[key]:
                found.append(f"{what}: {key} {left[key]:,} against {right[key]:,}")

    shipped, rejected = _read_tally(books, "user", "shipped"), _read_tally(books, "user", "rejected")
    taken, declined = _read_tally(books, "payment", "payment-taken"), _read_tally(books, "payment", "payment-declined")
    reserved, released = (
        _read_tally(books, "product", "stock-reserved"),
        _read_tally(books, "product", "stock-released"),
    )
    sent_off, sold_out = _read_tally(books, "shipping", "order-shipped"), _read_tally(books, "product", "out-of-stock")
    open_orders = books["user"]["balance"]["open"]
    unheard = driver.failed + driver.unfinished

    if books["product"]["balance"]["missing"]:
        found.append(f"{books['product']['balance']['missing']:,} units are neither in stock nor reserved")
    same(
        "the till and what was taken",
        {"cents": books["payment"]["balance"]["taken_cents"]},
        {"cents": taken["amount_cents"]},
        "cents",
    )
    same("the parcels and what was shipped", books["shipping"]["balance"], sent_off, "units")
    if not unheard:
        same("shipments and charges", sent_off, taken, *_EMPTY_TALLY)
        same("shipments and orders reported as shipped", sent_off, shipped, *_EMPTY_TALLY)
        same("declined cards and stock released", declined, released, "count", *WRAPPING_SUMS, "units")
        judged = {key: taken[key] + declined[key] for key in ("count", "units")}
        judged |= {key: (taken[key] + declined[key]) % 2**64 for key in WRAPPING_SUMS}
        same("reservations and payment's answers", reserved, judged, *judged)
        if rejected["count"] != released["count"] + sold_out["count"]:
            found.append(f"{rejected['count']:,} rejections, {released['count'] + sold_out['count']:,} reasons")
        if open_orders:
            found.append(f"{open_orders:,} orders are still open at the shop")
        same("shipped, at the shop and at the driver", shipped, _tally_to_mapping(driver.shipped), *_DRIVER_KEYS)
        same(
            "rejected, at the shop and at the driver",
            rejected,
            _tally_to_mapping(driver.rejected),
            "count",
            *WRAPPING_SUMS,
        )
    else:
        told = driver.shipped.count + driver.rejected.count
        for what, ahead in (
            ("orders ended", shipped["count"] + rejected["count"] - told),
            ("shipments", sent_off["count"] - driver.shipped.count),
            ("charges", taken["count"] - driver.shipped.count),
        ):
            if not 0 <= ahead <= unheard:
                found.append(f"the shop has {ahead:,} {what} more than the driver heard of, {unheard:,} were in doubt")
        # A service commits before the next one gets the message, so only the last commit may be missing.
        if not sent_off["count"] <= taken["count"] <= reserved["count"] - declined["count"]:
            found.append(
                f"{sent_off['count']:,} shipments of {taken['count']:,} charges of {reserved['count']:,} reservations, "
                f"{declined['count']:,} cards declined"
            )
        if released["count"] > declined["count"]:
            found.append(f"{released['count']:,} reservations released of {declined['count']:,} declined cards")
    return found


def count_charged_unconfirmed(driver: DriverAudit, books: ServiceAudits) -> int:
    """Returns how many orders were charged although the driver never received their shipment."""
    return max(0, _read_tally(books, "payment", "payment-taken")["count"] - driver.shipped.count)


def count_redelivered(books: ServiceAudits) -> int:
    """Returns how many messages were redelivered to a service that had answered them: answered again, not done twice.

    A service that was restarted counts from there.
    """
    return sum(book["repeated"] for book in books.values())


def count_store_refusals(books: ServiceAudits) -> dict[str, int]:
    """Returns how often a service's store was locked, full or away, by service; those where it never was are left out.

    A service that was restarted counts from there.
    """
    return {name: count for name, book in books.items() if (count := book.get("store_refusals", 0))}


def count_half_done(books: ServiceAudits) -> int:
    """Returns how many orders keep stock reserved that was neither shipped nor released."""
    reserved, released = (_read_tally(books, "product", fact) for fact in ("stock-reserved", "stock-released"))
    return max(0, reserved["count"] - released["count"] - _read_tally(books, "shipping", "order-shipped")["count"])


def count_dead_letters(books: ServiceAudits) -> dict[str, int]:
    """Returns how many messages the services made dead letters, by reason; empty where services do not count them.

    A service that was restarted counts from there.
    """
    found: dict[str, int] = {}
    for book in books.values():
        for reason, count in book.get("serving", {}).get("dead_letters", {}).items():
            found[reason] = found.get(reason, 0) + count
    return found


def count_lost(driver: DriverAudit, accepted_unfinished: int, books: ServiceAudits) -> int:
    """Returns how many accepted, unfinished orders the shop has not ended either, at the least.

    An order that the driver counted as failed, and that the shop ended, may hide another that is lost.
    """
    ended = _read_tally(books, "user", "shipped")["count"] + _read_tally(books, "user", "rejected")["count"]
    unheard_of = ended - driver.shipped.count - driver.rejected.count
    return max(0, accepted_unfinished - max(0, unheard_of))


def _read_tally(books: ServiceAudits, service: str, fact: str) -> Mapping[str, int]:
    tally: Mapping[str, int] = books[service]["tallies"].get(fact, _EMPTY_TALLY)
    return tally


def _tally_to_mapping(total: PackedTally) -> Mapping[str, int]:
    return {key: getattr(total, key) for key in _DRIVER_KEYS}
