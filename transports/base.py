"""The transport interface: what a transport provides and what the benchmark may rely on."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Generator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from shop.messages import OrderClosed, PlaceOrder
from shop.service import Service
from shop.store import Durability
from transports.dead_letters import REASONS, UNREADABLE, DeadLetters
from transports.errors import SettingError
from transports.tracing import Tracer


class Style(StrEnum):
    """How a fact reaches the service that consumes it."""

    CHAIN = "chain"
    """The caller sends the fact as a request, and waits for the answer."""
    PIPELINE = "pipeline"
    """The fact is put on the consumer's queue."""
    CHOREOGRAPHY = "choreography"
    """The fact is published to all listeners."""


class Acceptance(StrEnum):
    """What has happened by the time ``submit`` returns."""

    ON_OUTCOME = "the outcome is in"
    ON_CONFIRM = "the broker has confirmed the message"
    ON_ACKNOWLEDGED = "the log has acknowledged the record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a transport promises. Checked by the conformance checks and printed beside every number."""

    style: Style
    accepted: Acceptance
    survives: Mapping[Durability, str]
    """What survives acceptance, by durability class: a sentence that begins with D0, D1, D2 or D3.

    Of a chain it is what its services' SQLite files keep; bench/runner/manifest.py has the other stores."""
    redelivers: bool
    """Whether a message is delivered again when its consumer dies before it is done."""
    ordered: bool
    """Whether two messages with the same order id are consumed in the order in which they were sent."""
    concurrency: str
    """How many messages a service process may have in hand."""
    acknowledges: str = ""
    """When a consumer acknowledges a message, where it does; messages since then are delivered again."""
    replays: bool = False
    """Whether consumed messages are kept, so that another consumer can read them again from the beginning."""
    browsers: bool = False
    """Whether a page in a browser can call the first service as it is, without a gateway in between."""
    stamped: bool = False
    """Whether its services stamp sampled orders, for a report of where the time went; see transports/tracing.py."""
    codec: str = "json"
    """The usual codec of the method's users."""
    codecs: frozenset[str] | None = None
    """The codecs that it can carry; None: every one."""
    largest_bytes: int | None = None
    """The largest message that its server takes, as it is provided here; None: it has no limit of its own."""
    scales: bool = False
    """Whether several processes of a service share its orders: at ``Setting.addresses_of``, or at a server."""
    compressions: frozenset[str] = frozenset()
    """The method's own compressions, beside ``none``."""
    securities: frozenset[str] = frozenset()
    """The levels that it carries beside ``none``, see transports/security/levels.py."""
    needs: frozenset[str] = frozenset()
    """Servers, by the names in ``Setting.servers``. RabbitMQ and Kafka are provided; others are given by URL."""
    in_process: bool = False
    """Services live in the process of the client."""
    runs_shop: bool = True
    """Whether its services carry orders out. Without it there are no books, and so no audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Everything a transport may know. The same in the load process and in every service process."""

    trial: str
    """A name of letters, digits and hyphens, unique on the brokers; queues, topics and groups begin with it."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """``host:port`` by service; of several processes all, with commas between them."""
    processes: int = 1
    """The number of processes of each service."""
    process: int = 0
    """Which of them this is."""
    servers: Mapping[str, str] = field(default_factory=dict)
    """URLs: ``rabbitmq`` (amqp://…), ``kafka`` (host:port)."""
    codec: str = "json"
    compression: str = "none"
    security: str = "none"
    keys: str = ""
    """The folder in which each role has its certificate, password and tokens, where ``security`` asks for any; what is
    in it is in no setting, see transports/security/keys.py."""
    durability: Durability = "fast"
    max_message_bytes: int = 4 * 1024 * 1024
    """The limit of a hop, on the encoded body."""
    deadline_s: float = 30.0
    """How long a caller waits for an answer."""
    park_after_s: float = 60.0
    """How long a consumer tries a message again that fails by a passing error, before it makes it a dead letter."""
    workers: int = 1
    """How many load processes there are, each with outcomes of its own."""
    worker: int = 0
    """Which of them this is."""
    trace_every: int = 0
    """One in so many orders is stamped at every hop, see transports/tracing.py; 0: none."""
    product: str = ""
    """The product that the method runs over, which decides the class; empty: the method's own."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The transport's own settings; becomes its ``Config``."""

    HEADROOM_BYTES: ClassVar[int] = 4096
    """Facts grow from hop to hop; an order gets the limit of a hop less this."""

    def addresses_of(self, service: str) -> tuple[str, ...]:
        """Returns the addresses of all processes of ``service``."""
        return tuple(self.addresses[service].split(","))

    def own_address(self, service: str) -> str:
        """Returns the address on which this process of ``service`` listens."""
        return self.addresses_of(service)[self.process]

    @property
    def max_order_bytes(self) -> int:
        """The size limit of an order where it enters, in bytes."""
        return self.max_message_bytes - self.HEADROOM_BYTES


@dataclass(frozen=True, slots=True)
class Finished:
    """How an order ended. ``at_ns`` is ``time.monotonic_ns()`` where and when the outcome arrived."""

    outcome: OrderClosed
    at_ns: int

    def __await__(self) -> Generator[Any, None, "Finished"]:
        """Returns itself at once, so that a chain, which has the outcome at acceptance, needs no future."""
        return self
        yield


@dataclass(frozen=True, slots=True)
class Receipt:
    """The transport has taken the order. ``accepted_ns`` is ``time.monotonic_ns()`` at that instant."""

    accepted_ns: int
    finished: Awaitable[Finished]
    """Gives the outcome, pushed and never polled. It has no deadline of its own: the caller decides how long to wait,
    and may cancel. Raises Unreadable when an outcome came that cannot be read, Unreachable when the connection
    was lost."""


class Client(ABC):
    """The buyer's side of a transport. Used by one event loop; any number of orders may be in flight."""

    duplicated: int = 0
    """Outcomes that came for an order that already had one."""

    @abstractmethod
    async def submit(self, order: PlaceOrder) -> Receipt:
        """Sends the order and returns when the transport has accepted it, as ``traits.accepted`` says.

        Raises TooLarge before anything is sent, Unreachable, NotAccepted, Failed, and NoOutcome when the setting's
        deadline passes first. The client remains usable after any of them. On a chain the failure of a later service
        arrives as Failed; on the others it shows as an order that does not finish.
        """


class Transport(ABC):
    """A way of carrying messages. Built in the same way in the load process and in each service process."""

    traits: ClassVar[Traits]
    product: ClassVar[str] = ""
    """The product that it runs over, for a method that may run over several."""
    Config: ClassVar[type]
    """Its own settings: a frozen msgspec.Struct that refuses unknown keys."""

    def __init__(self, setting: Setting) -> None:
        """Opens nothing. Raises SettingError when ``setting`` cannot be honoured."""
        if setting.compression not in {"none", *self.traits.compressions}:
            known = ", ".join(("none", *sorted(self.traits.compressions)))
            raise SettingError(
                f"compression {setting.compression!r} is none of this method's; there are: {known}",
                code="unknown-compression",
            )
        if setting.security not in {"none", *self.traits.securities}:
            known = ", ".join(("none", *sorted(self.traits.securities)))
            raise SettingError(
                f"security {setting.security!r} is none of this method's; there are: {known}", code="unknown-security"
            )
        self.setting = setting

    def facts(self) -> Mapping[str, str]:
        """Returns versions and settings as they took effect (library, loop, parser), for the manifest."""
        return {}

    async def prepare(self) -> None:
        """Creates what must exist before the first service starts: queues, topics. Idempotent."""

    async def remove(self) -> None:
        """Deletes what ``prepare`` created.

        Idempotent, also after a killed trial. Raises Unreachable if the server cannot be reached.
        """

    async def read_dead_letters(self, limit: int) -> DeadLetters:
        """Returns what the services could not carry on, ``limit`` of it at the most; may take it away.

        Call it when no service runs any more, before ``remove``. A method without a dead-letter queue has none. Raises
        Unreachable.
        """
        return DeadLetters()

    @abstractmethod
    def serve(self, service: Service) -> AbstractAsyncContextManager["ServingStats"]:
        """Consumes for ``service`` from enter until exit, and finishes the messages in progress before it exits.

        Raises Unreachable on enter when a server cannot be reached or a port is taken.
        """

    @abstractmethod
    def connect(self) -> AbstractAsyncContextManager[Client]:
        """Opens a client, whose connections are closed at exit; orders in flight then are abandoned."""


@dataclass(slots=True)
class ServingStats:
    """Counters and stamps of a service process while it serves, in addition to the service's own tallies."""

    trace: Tracer = field(default_factory=lambda: Tracer(0))
    handled: int = 0
    unreadable: int = 0
    """Messages that could not be decoded, answered with an error or put on the dead-letter queue."""
    failed: int = 0
    """Messages that were read and could not be carried on."""
    dead_letters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    """Of both the messages that became dead letters, by reason; none in a chain, which answers with an error."""

    def count_dead_letter(self, reason: str) -> None:
        """Counts a message that becomes a dead letter."""
        self.dead_letters[reason] += 1
        if reason == UNREADABLE:
            self.unreadable += 1
        else:
            self.failed += 1

    def counts(self) -> dict[str, Any]:
        return {
            "handled": self.handled,
            "unreadable": self.unreadable,
            "failed": self.failed,
            "dead_letters": dict(self.dead_letters),
        }
