"""Locustfiles to edit; profiles/ has the named workloads of a run."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.load.locust.master import OrderUser as OrderUser


def __getattr__(name: str) -> Any:
    """``OrderUser``, for locustfiles; imported when it is asked for, since it brings Locust with it."""
    if name == "OrderUser":
        from bench.load.locust.master import OrderUser  # noqa: PLC0415 - see above

        return OrderUser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
