"""Every setting of a profile, declared once; flags, help, factors and columns of trials.csv follow.

It stands in results because every factor is a column there. It imports the standard library alone, so that a misspelt
setting is refused before anything is installed.
"""

from bench.results.setting_spec import Role, SettingSpec


def _table(*specs: SettingSpec) -> dict[str, SettingSpec]:
    return {spec.name: spec for spec in specs}


SETTINGS: dict[str, SettingSpec] = _table(
    # What carries the orders.
    SettingSpec(
        name="TRANSPORT",
        key="transports",
        kind="names",
        help="methods, with commas between them; one that is named has to be there",
        default=["rest", "grpc", "broker", "events"],
        choices=("rest", "grpc", "broker", "events", "memory"),
        aliases={"http": "rest", "https": "rest", "rabbitmq": "broker", "amqp": "broker", "kafka": "events"},
    ),
    SettingSpec(
        name="BACKEND",
        key="backend",
        kind="word",
        help="what broker and events run over; without it broker has RabbitMQ and events Kafka",
        choices=("rabbitmq", "kafka"),
        aliases={"rabbit": "rabbitmq", "amqp": "rabbitmq"},
        role="method",
        factor=True,
        column="product",
        base=("rabbitmq",),
    ),
    SettingSpec(
        name="CLIENT",
        key="clients",
        kind="clients",
        help="a method's client library, as rest:httpx, or httpx alone; several with commas",
        default={},
        role="method",
        factor=True,
        column="client",
    ),
    SettingSpec(
        name="CODEC",
        key="codec",
        kind="word",
        help="the format of every message; without it each method has its own",
        choices=("json", "msgpack", "protobuf", "avro"),
        aliases={"proto": "protobuf", "pb": "protobuf", "messagepack": "msgpack"},
        role="method",
        factor=True,
        column="codec",
        base=("json",),
    ),
    SettingSpec(
        name="COMPRESSION",
        key="compression",
        kind="word",
        help="by the method's own means: REST has gzip and zstd, gRPC gzip, Kafka gzip, lz4, snappy and zstd",
        default="none",
        choices=("none", "gzip", "zstd", "lz4", "snappy"),
        aliases={"off": "none", "gz": "gzip", "zst": "zstd"},
        role="method",
        factor=True,
        column="compression",
        base=("none",),
    ),
    # What is ordered.
    SettingSpec(
        name="SHAPE",
        key="shape",
        kind="word",
        help="what gives an order its size: an attached document, or more order lines (structured)",
        default="document",
        choices=("document", "structured"),
        role="workload",
        factor=True,
        column="shape",
        base=("document",),
    ),
    SettingSpec(
        name="COMPRESSIBLE",
        key="compressible",
        kind="fraction",
        help="the share of the order's content that compresses; the rest is noise",
        default=1,
        role="workload",
        factor=True,
        column="compressible",
        label="compressible-",
    ),
    SettingSpec(
        name="PAYLOAD",
        key="payload",
        kind="size",
        help="the size of an order as compact JSON",
        default="1KiB",
        unit="bytes",
        role="workload",
        factor=True,
        column="order_bytes",
        is_context=True,
    ),
    SettingSpec(
        name="MAX_MESSAGE",
        key="max_message",
        kind="size",
        help="the largest message that a hop takes",
        default="4MiB",
        unit="bytes",
    ),
    # What is promised.
    SettingSpec(
        name="SECURITY",
        key="security",
        kind="word",
        help="none, TLS (tls), TLS with certificates of clients (mtls), or TLS with credentials (auth)",
        default="none",
        choices=("none", "tls", "mtls", "auth"),
        aliases={"off": "none", "ssl": "tls", "mutual-tls": "mtls", "token": "auth", "jwt": "auth"},
        role="workload",
        factor=True,
        column="security",
        is_context=True,
        needs_base=True,
        base=("none",),
    ),
    SettingSpec(
        name="DURABILITY",
        key="durability",
        kind="word",
        help="what survives a crash: fast (of a process), or safe (every service and broker syncs to disk first)",
        default="fast",
        choices=("fast", "safe"),
        role="workload",
        factor=True,
        column="durability",
        is_context=True,
    ),
    SettingSpec(
        name="STORE",
        key="store",
        kind="word",
        help="each service's own database: a SQLite file, one on a PostgreSQL server, or none (memory), which is "
        "what the method memory has without it",
        default="sqlite",
        choices=("memory", "sqlite", "postgres"),
        aliases={"postgresql": "postgres", "pg": "postgres"},
        role="workload",
        factor=True,
        column="store",
        base=("memory", "sqlite"),
        is_context=True,
    ),
    SettingSpec(
        name="PROCESSES",
        key="processes",
        kind="count",
        help="processes of each service",
        default=1,
        least=1,
        role="workload",
        factor=True,
        column="processes",
        label="processes-",
    ),
    SettingSpec(
        name="RETRIES",
        key="retries",
        kind="count",
        help="how often REST and gRPC try again after a refused or lost connection",
        default=0,
        role="tuning",
        factor=True,
        column="retries",
        label="retries-",
    ),
    SettingSpec(
        name="KEEP_ALIVE",
        key="keep_alive_s",
        kind="seconds",
        help="how long clients keep an idle connection; 0: as long as each library does",
        default=0,
        unit="s",
        zero=True,
        least=0.1,
        most=86_400,
        role="tuning",
        factor=True,
        column="keep_alive_s",
        is_context=True,
        highest_is_base=True,
        uncounted=frozenset({"wire_bytes_per_order"}),
        base=(0.0,),
        label="keep-alive-",
    ),
    # How often, and what goes wrong.
    SettingSpec(
        name="FAULT",
        key="fault",
        kind="text",
        help="what fails in the window: none, or stop, kill, cut or delay, a hyphen and a service or broker",
        default="none",
        role="workload",
        factor=True,
        column="fault",
        is_context=True,
        needs_base=True,
        base=("none",),
    ),
    SettingSpec(
        name="FAULT_AT",
        key="fault_at_s",
        kind="seconds",
        help="when the fault begins, from the opening of the window; without it after a third of DURATION",
        unit="s",
        zero=True,
    ),
    SettingSpec(
        name="FAULT_FOR",
        key="fault_for_s",
        kind="seconds",
        help="how long the fault lasts; without it a third of DURATION",
        unit="s",
    ),
    SettingSpec(
        name="ARRIVALS",
        key="arrivals",
        kind="word",
        help="when orders come: poisson, constant, step, burst, or replay (from a file, REPLAY=)",
        default="poisson",
        choices=("poisson", "constant", "step", "burst", "replay"),
        aliases={"trace": "replay", "fixed": "constant", "bursts": "burst"},
        role="workload",
        factor=True,
        column="arrivals",
        base=("poisson",),
    ),
    SettingSpec(
        name="RATE",
        key="rate_per_s",
        kind="numbers",
        help="the arrival rate: orders a second; several with commas measure every method at each",
        default=150,
        unit="/s",
        role="workload",
        factor=True,
        column="rate_per_s",
        is_context=True,
    ),
    SettingSpec(
        name="STEP_FACTOR",
        key="step_factor",
        kind="number",
        help="ARRIVALS=step: how many times RATE the step is at; 0 is a silence",
        default=3,
        zero=True,
    ),
    SettingSpec(
        name="STEP_AT",
        key="step_at_s",
        kind="seconds",
        help="when the step begins, from the opening of the window; without it after a third of DURATION",
        unit="s",
        zero=True,
    ),
    SettingSpec(
        name="STEP_FOR",
        key="step_for_s",
        kind="seconds",
        help="how long the step lasts; without it a third of DURATION",
        unit="s",
    ),
    SettingSpec(
        name="BURST_PEAK",
        key="burst_peak",
        kind="number",
        help="ARRIVALS=burst: how many times RATE a burst is at; 1 or more",
        default=10,
    ),
    SettingSpec(
        name="BURST_PERIOD",
        key="burst_period_s",
        kind="seconds",
        help="from one burst to the next; without it a third of DURATION",
        unit="s",
    ),
    SettingSpec(
        name="REPLAY",
        key="replay",
        kind="path",
        help="ARRIVALS=replay: a text file with one offset in seconds a line, or a CSV with a column offset_s",
    ),
    # How it is measured.
    SettingSpec(
        name="ROUNDS",
        key="rounds",
        kind="count",
        help="how often every cell is measured; six or more give a 95 % interval",
        default=7,
        least=1,
    ),
    SettingSpec(
        name="DURATION",
        key="duration_s",
        kind="seconds",
        help="the length of the window in which orders count",
        default=6,
        unit="s",
    ),
    SettingSpec(
        name="WARM_UP",
        key="warm_up_s",
        kind="seconds",
        help="the shortest warm-up before the window; 0: none",
        default=2,
        unit="s",
        zero=True,
    ),
    SettingSpec(
        name="WARM_UP_MAX",
        key="warm_up_max_s",
        kind="seconds",
        help="the longest warm-up; it ends once orders in flight and completion are steady; 0: exactly WARM_UP",
        default=10,
        unit="s",
        zero=True,
    ),
    SettingSpec(
        name="BROKER_WARM_UP",
        key="broker_warm_up_s",
        kind="seconds",
        help="how long a broker carries orders, twice, before its first trial; 0: not at all",
        default=12,
        unit="s",
        zero=True,
    ),
    SettingSpec(
        name="DEADLINE",
        key="deadline_s",
        kind="seconds",
        help="how long the driver waits for an order to finish",
        default=30,
        unit="s",
    ),
    SettingSpec(
        name="SEED",
        key="seed",
        kind="count",
        help="the same seed gives the same orders at the same times",
        default=1,
    ),
    SettingSpec(
        name="SLO",
        key="slo_p99_ms",
        kind="number",
        help="the limit of p99 of completion in a search for the capacity",
        unit="ms",
    ),
    SettingSpec(
        name="CONNECTIONS",
        key="connections",
        kind="flag",
        help="whether new connections are measured as well, after the trials",
        default=False,
    ),
    SettingSpec(
        name="TRACE_EVERY",
        key="trace_every",
        kind="count",
        help="one in so many orders is traced through every service; 0: none",
        default=20,
    ),
    SettingSpec(
        name="RAW",
        key="raw",
        kind="flag",
        help="whether every order is kept in raw/, beside the histograms",
        default=False,
    ),
    SettingSpec(
        name="REPORT",
        key="report",
        kind="flag",
        help="whether report.html and its charts are drawn at the end of the run; `fourways report` draws them later",
        default=True,
    ),
    SettingSpec(
        name="PORTS",
        key="ports",
        kind="count",
        help="the first port; each service process takes the next; without it any free ports",
        least=1024,
        most=65_535,
    ),
)
"""By name, in the order in which help shows them."""


def settings_by_key() -> dict[str, SettingSpec]:
    """Every setting by its key in a profile."""
    return {spec.key: spec for spec in SETTINGS.values()}


def settings_by_column() -> dict[str, SettingSpec]:
    """Every setting that has a column of trials.csv, by that column."""
    return {spec.column: spec for spec in SETTINGS.values() if spec.column}


def factors() -> tuple[str, ...]:
    """Keys of a profile that a block may vary."""
    return tuple(spec.key for spec in SETTINGS.values() if spec.factor)


def comparable_columns() -> tuple[str, ...]:
    """Columns in which a cell of two runs has to agree before it is compared."""
    return tuple(column for column, spec in settings_by_column().items() if spec.role != "procedure")


def columns_with_roles(*roles: Role) -> tuple[str, ...]:
    """Columns of the settings with one of these roles."""
    return tuple(column for column, spec in settings_by_column().items() if spec.role in roles)
