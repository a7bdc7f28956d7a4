"""The payment service: takes the money, or declines the card."""

from collections.abc import Mapping

from shop.messages import Message, PaymentDeclined, PaymentTaken, StockReserved
from shop.service import Handler, Service, number_of
from shop.store import Decision

GOOD_CARD = "4242424242424242"
DECLINED_CARD = "4000000000000002"
"""Passes the check digit and is declined all the same, so that a workload can plan an order that fails."""


class PaymentService(Service):
    name = "payment"

    def handlers(self) -> Mapping[type[Message], Handler]:
        return {StockReserved: Handler(self._judge, self._book, self._answered)}

    def _judge(self, message: StockReserved) -> Decision:
        card = message.order.card
        if not has_check_digit(card):
            return Decision("payment-declined", message.total_cents, "the card number is not valid")
        if card == DECLINED_CARD:
            return Decision("payment-declined", message.total_cents, "the card was declined")
        return Decision("payment-taken", message.total_cents, f"PAY-{number_of(message.order.order_id):016x}")

    def _book(self, message: StockReserved, decision: Decision) -> None:
        if decision.fact == "payment-taken":
            self.store.set_quantity("taken", (self.store.quantity("taken") or 0) + decision.amount_cents)

    def _answered(self, message: StockReserved, decision: Decision) -> PaymentTaken | PaymentDeclined:
        if decision.fact == "payment-taken":
            return PaymentTaken(message.order, decision.amount_cents, decision.detail)
        return PaymentDeclined(message.order, decision.amount_cents, decision.detail)

    def balance(self) -> Mapping[str, int]:
        """``taken_cents``: the money in the till."""
        return {"taken_cents": self.store.quantity("taken") or 0}


_DOUBLED = {digit: sum(divmod(2 * int(digit), 10)) for digit in "0123456789"}


def has_check_digit(card: str) -> bool:
    """Whether a card number ends in its check digit (ISO/IEC 7812-1, annex B: the Luhn formula)."""
    if not card.isascii() or not card.isdigit():
        return False
    odd, even = card[-1::-2], card[-2::-2]
    return (sum(map(int, odd)) + sum(map(_DOUBLED.__getitem__, even))) % 10 == 0
