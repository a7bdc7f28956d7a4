"""The payment service: charges the card or declines it."""

from collections.abc import Mapping

from shop.messages import Message, PaymentDeclined, PaymentTaken, StockReserved
from shop.service import Handler, Service, hash_order_id
from shop.store import Decision

GOOD_CARD = "4242424242424242"
DECLINED_CARD = "4000000000000002"
"""A card with a good check digit that is declined, so that a workload can plan an order that fails."""


class PaymentService(Service):
    name = "payment"

    def handlers(self) -> Mapping[type[Message], Handler]:
        return {StockReserved: Handler(self._decide, self._add_to_till, self._build_fact)}

    def _decide(self, message: StockReserved) -> Decision:
        card = message.order.card
        if not has_valid_check_digit(card):
            return Decision("payment-declined", message.total_cents, "the card number is not valid")
        if card == DECLINED_CARD:
            return Decision("payment-declined", message.total_cents, "the card was declined")
        return Decision("payment-taken", message.total_cents, f"PAY-{hash_order_id(message.order.order_id):016x}")

    def _add_to_till(self, message: StockReserved, decision: Decision) -> None:
        if decision.fact == "payment-taken":
            self.store.set_quantity("taken", (self.store.quantity("taken") or 0) + decision.amount_cents)

    def _build_fact(self, message: StockReserved, decision: Decision) -> PaymentTaken | PaymentDeclined:
        if decision.fact == "payment-taken":
            return PaymentTaken(message.order, decision.amount_cents, decision.detail)
        return PaymentDeclined(message.order, decision.amount_cents, decision.detail)

    def balance(self) -> Mapping[str, int]:
        """Returns ``taken_cents``: the sum of all payments taken."""
        return {"taken_cents": self.store.quantity("taken") or 0}


_DOUBLED_DIGIT_SUM = {digit: sum(divmod(2 * int(digit), 10)) for digit in "0123456789"}


def has_valid_check_digit(card: str) -> bool:
    """Whether a card number ends in its check digit (ISO/IEC 7812-1, annex B: the Luhn formula)."""
    if not card.isascii() or not card.isdigit():
        return False
    odd, even = card[-1::-2], card[-2::-2]
    return (sum(map(int, odd)) + sum(map(_DOUBLED_DIGIT_SUM.__getitem__, even))) % 10 == 0
