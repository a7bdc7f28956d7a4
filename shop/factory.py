"""Opens a service by name, over a store that is given or over one in memory or in SQLite."""

from pathlib import Path

from shop.payments import PaymentService
from shop.products import ProductService
from shop.service import Service
from shop.shipping import ShippingService
from shop.store import Durability, MemoryStore, SqliteStore, Store
from shop.users import UserService

_SERVICES: dict[str, type[Service]] = {
    service.name: service for service in (UserService, ProductService, PaymentService, ShippingService)
}


def open_service(
    name: str,
    *,
    store: Store | None = None,
    folder: Path | None = None,
    durability: Durability = "fast",
    deadline_s: float = 30.0,
) -> Service:
    """Returns the service called ``name`` over this store, or over the SQLite file of its name in ``folder``.

    Without either it is over memory, which keeps an order for ``deadline_s`` and the longest redelivery.
    """
    if store is None:
        store = MemoryStore(deadline_s) if folder is None else SqliteStore(folder / f"{name}.sqlite", durability)
    return _SERVICES[name](store)
