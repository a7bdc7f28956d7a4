"""Opening a service: which class, over which store."""

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
    """The service called ``name``: in memory, or with ``folder`` over the SQLite file of its name there."""
    store: Store = MemoryStore() if folder is None else SqliteStore(folder / f"{name}.sqlite", durability)
    return _SERVICES[name](store)
