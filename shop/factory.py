"""Opens a service by name over a store in memory or in SQLite."""

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


def open_service(name: str, *, folder: Path | None = None, durability: Durability = "fast") -> Service:
    """Returns the service called ``name``: over memory, or over the SQLite file of its name in ``folder``."""
    store: Store = MemoryStore() if folder is None else SqliteStore(folder / f"{name}.sqlite", durability)
    return _SERVICES[name](store)
