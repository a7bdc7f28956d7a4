"""The outcome of one trial: all that was seen of it, from which its row is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.load.protocol import TrialReport
from bench.results.caveats import Caveat
from bench.trial import audit
from bench.trial.tls_probe import NegotiatedTls
from transports.tracing import Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOutcome:
    """What is known about a trial when its processes have stopped; if it could not be run, its report and doubts."""

    report: TrialReport
    doubts: Sequence[Caveat] = ()
    """Observations from outside that make the trial invalid."""
    remarks: Sequence[Caveat] = ()
    """Observations that a reader should know although the trial may be valid."""
    books: audit.ServiceAudits | None = None
    """The services' audits; None where a service did not answer."""
    stamps: Sequence[Stamp] = ()
    ready_s: float | None = None
    """From the start of the services to the first order through all of them."""
    idle_cpu_ms_per_s: Mapping[str, float] = field(default_factory=dict)
    """What services and broker used before the load came; empty unless it was asked for."""
    cpu_slowdown: float | None = None
    """The speed probe's ratio."""
    set_trend: float | None = None
    """By which factor the median completion changed through a set, beside the other cells; None where it did not."""
    tls: NegotiatedTls | None = None
    """The TLS that client and server agreed on, where it was asked for."""
    clock_mismatch: str = ""
    """Why the processes' clocks cannot be compared, if they cannot."""
    counts_wire: bool = False
    """Whether bytes on the wire were to be counted."""
    knows_all_processes: bool = True
    """Whether all that serves the trial is measured, so that all other CPU is background load."""
    unwatched: Sequence[str] = ()
    """Servers whose processes are not known, by name."""

    @property
    def cipher(self) -> str:
        """The negotiated cipher; empty without TLS."""
        return "" if self.tls is None else self.tls.cipher

    @property
    def audit_problems(self) -> list[str]:
        """The contradictions between the services' books and the driver's."""
        return [] if self.books is None else audit.find_problems(self.report.audit, self.books)

    @property
    def lost(self) -> int | None:
        """The number of accepted orders that the shop has not ended; None: not known, as in the next two."""
        report = self.report
        return None if self.books is None else audit.count_lost(report.audit, report.accepted_unfinished, self.books)

    @property
    def charged_unconfirmed(self) -> int | None:
        """The number of orders that were charged without a confirmation to the buyer that they shipped."""
        return None if self.books is None else audit.count_charged_unconfirmed(self.report.audit, self.books)

    @property
    def dead_letters(self) -> Mapping[str, int]:
        """The number of messages that became dead letters, by reason; empty where it is not known."""
        return {} if self.books is None else audit.count_dead_letters(self.books)

    @property
    def store_refusals(self) -> Mapping[str, int]:
        """How often a service's store was locked, full or away; empty where it never was, or it is not known."""
        return {} if self.books is None else audit.count_store_refusals(self.books)

    @property
    def half_done(self) -> int:
        """The number of failed orders that keep stock reserved; 0 where it is not known."""
        return 0 if self.books is None else min(self.report.failed, audit.count_half_done(self.books))

    @property
    def redelivered(self) -> int | None:
        """Messages that a service had answered before."""
        return None if self.books is None else audit.count_redelivered(self.books)
