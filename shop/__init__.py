r"""The system under test: an order workflow of four services that know nothing of transports.

    PlaceOrder -> user -> OrderPlaced -> product -> StockReserved -> payment -> PaymentTaken -> shipping
                                              \-> OutOfStock            \-> PaymentDeclined     |
                   user <- StockReleased <- product <------------------------/                  |
    OrderClosed <- user <- OrderShipped <-------------------------------------------------------/

Standard library only.
"""
