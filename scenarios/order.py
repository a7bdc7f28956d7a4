"""The order workflow under load: edit this file, then `make web TRANSPORT=rest` and press Start.

On Locust's page, "Number of users" is the offered load: in open mode every user stands for so many orders a second,
in closed mode for one buyer who orders again as soon as the last order has ended. It can be edited while it runs.
"""

from scenarios import OrderUser


class Buyer(OrderUser):
    # Orders a second that one user stands for. They come whether or not earlier ones have ended.
    orders_per_s = 1.0

    # How they are spaced: "poisson" (as independent buyers do), "constant", "step" (up, and down again) or "burst"
    # (peaks at the same mean rate). STEP_FACTOR, BURST_PEAK and the like are given to `make web`, as RATE, PAYLOAD and
    # ARRIVALS may be, which then stand on the page.
    arrivals = "poisson"

    # The size of an order as compact JSON.
    payload_bytes = 1024

    # Shares of orders that the shop is to refuse.
    sold_out = 0.02
    declined = 0.02

    # "open" is honest about latency; "closed" finds out what the services can take.
    mode = "open"
