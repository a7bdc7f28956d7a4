"""Tests the books of a set whose load processes come to their end, or do not."""

import msgspec

from bench.load.recorder import DriverRecord
from bench.load.sets.books import SetBooks
from bench.load.sets.player import PlayedSlice
from bench.load.sets.protocol import ArmReport, EndedSlice, SetNews, SetReport, SetSpec, parse_news
from tests.unit.load.test_slices import build_spec, play, run
from tests.unit.load.virtual_clock import FakeShopClient

CELLS, SLICES = 2, 3


def play_all(spec: SetSpec) -> list[EndedSlice]:
    async def work() -> list[PlayedSlice]:
        return await play(spec, [FakeShopClient(), FakeShopClient()])

    return [one.end(spec) for one in run(work())]


SPEC = build_spec(cells=CELLS, slices=SLICES)
ENDED = play_all(SPEC)
"""Of cell 0, cell 1, cell 0, …"""
WARMED = [ArmReport(arm=at, warm_up=DriverRecord().pack(), facts={"version": "1"}) for at in range(CELLS)]
REPORT = SetReport(id=SPEC.id, played_s=3.0, began_ns=1, ended_ns=2)


def tell(books: SetBooks, places: range, *, until: int | None = None) -> None:
    """Tells of these places, and that the one behind them has begun."""
    arms = WARMED
    for place in places:
        before = [ENDED[place - 2]] if place > places.start else []
        books.add(SetNews(next=place, first_ns=7, arms=arms, slices=before))
        arms = []
    if until is None:
        books.add(SetNews(next=0, slices=[ENDED[places.stop - 2]]))


def test_a_record_is_the_same_after_it_was_sent() -> None:
    sent = parse_news(f"[{SetNews(next=0, slices=ENDED).to_json()}]")[0].slices
    assert sent == ENDED
    assert DriverRecord.unpack(sent[0].record).pack() == ENDED[0].record


def test_a_set_that_one_load_process_plays_is_complete() -> None:
    books = SetBooks(SPEC)
    tell(books, range(1, 7))
    books.end_process(REPORT)
    assert not books.goes_on
    assert books.happened == []
    assert books.first_ns == 7
    for cell in range(CELLS):
        report = books.merge_cell(cell)
        mine = [one.report for one in ENDED if one.report.cell == cell]
        assert report.totals is not None
        assert (report.totals.slices, report.totals.due, report.error) == (3, 3, None)
        assert report.planned == sum(one.planned for one in mine)
        assert report.audit.sent == sum(one.planned + one.lead_in_planned for one in mine)
        assert report.facts == {"version": "1"}


def test_the_orders_of_a_warm_up_are_counted_with_the_first_cell_of_its_arm() -> None:
    books = SetBooks(SPEC)
    tell(books, range(1, 7))
    warmed = DriverRecord()
    warmed.all.finished = 1000
    arms = [msgspec.structs.replace(WARMED[0], warm_up=warmed.pack()), *WARMED[1:]]
    books.add(SetNews(next=0, arms=arms))
    books.end_process(REPORT)
    in_slices = [
        sum(one.report.lead_in_finished + one.report.finished for one in ENDED if one.report.cell == cell)
        for cell in range(CELLS)
    ]
    assert list(books.count_finished().values()) == [1000 + in_slices[0], *in_slices[1:]]


def test_a_slice_that_ends_late_is_kept_when_it_ends_and_pooled_in_its_place() -> None:
    books = SetBooks(SPEC)
    assert books.add(SetNews(next=1, arms=WARMED)) == []
    assert books.add(SetNews(next=2)) == []
    assert books.add(SetNews(next=0, slices=[ENDED[2], ENDED[0]])) == [ENDED[2], ENDED[0]]
    books.end_process(REPORT)
    assert books.merge_cell(0).opened_epoch_ms == ENDED[0].report.opened_epoch_ms


def test_an_order_that_is_left_behind_ends_its_process_and_another_goes_on_with_the_rest() -> None:
    books = SetBooks(SPEC)
    books.add(SetNews(next=1, arms=WARMED))
    books.add(SetNews(next=0, slices=[msgspec.structs.replace(ENDED[0], left_behind=1)]))
    books.end_process(REPORT)
    assert books.goes_on
    rest = books.build_rest()
    assert rest.from_place == 2
    assert rest.id != SPEC.id
    assert {arm.prefix for arm in rest.arms}.isdisjoint(arm.prefix for arm in SPEC.arms)
    assert [arm.left_out for arm in rest.arms] == ["", ""]
    tell(books, range(2, 7))
    books.end_process(REPORT)
    assert not books.goes_on
    report = books.merge_cell(0)
    assert report.totals is not None
    assert (report.totals.slices, report.left_behind, report.error) == (3, 1, None)
    assert all(arm.is_complete for arm in books.arms)
    assert len(books.happened) == 1


def test_a_process_that_is_lost_costs_its_slice_and_the_arm_of_it_alone() -> None:
    books = SetBooks(SPEC)
    tell(books, range(1, 4), until=3)
    books.end_process(None, "it was lost")
    assert books.goes_on
    assert books.build_rest().from_place == 4
    tell(books, range(4, 7))
    books.end_process(REPORT)
    assert [arm.is_complete for arm in books.arms] == [False, True]
    first, second = (books.merge_cell(cell).totals for cell in range(CELLS))
    assert first is not None
    assert second is not None
    assert (first.slices, first.due, second.slices) == (2, 3, 3)


def test_an_arm_that_ends_two_processes_plays_no_more_slices() -> None:
    books = SetBooks(SPEC)
    tell(books, range(1, 2), until=1)
    books.end_process(None, "it was lost")
    tell(books, range(2, 4), until=3)
    books.end_process(None, "it was lost")
    assert books.goes_on
    rest = books.build_rest()
    assert rest.from_place == 4
    assert [bool(arm.left_out) for arm in rest.arms] == [True, False]
    books.add(SetNews(next=4, arms=WARMED[1:]))
    books.add(SetNews(next=6, slices=[ENDED[3]]))
    books.add(SetNews(next=0, slices=[ENDED[5]]))
    books.end_process(REPORT)
    assert not books.goes_on
    assert books.merge_cell(0).error is not None
    assert books.merge_cell(1).error is None


WARM = msgspec.structs.replace(SPEC, warm_up_s=1.0)
CONNECTED = [msgspec.structs.replace(arm, warm_up=None) for arm in WARMED]


def test_a_process_that_is_lost_before_its_first_slice_is_followed_by_one_for_each_arm() -> None:
    books = SetBooks(WARM)
    books.end_process(None, "it was lost")
    assert books.goes_on
    assert all(arm.is_complete for arm in books.arms)  # nobody was connected
    apart = books.build_rest()
    assert [arm.process for arm in apart.arms] == [0, 1]
    assert apart.processes == 2
    books.add(SetNews(next=None, arms=CONNECTED[:1]))
    books.add(SetNews(next=None, arms=CONNECTED[1:]))
    books.add(SetNews(next=None, arms=WARMED[1:]))
    books.end_process(None, "it was lost")
    assert books.goes_on
    rest = books.build_rest()
    assert [(bool(arm.left_out), arm.process) for arm in rest.arms] == [(True, 0), (False, 0)]
    assert [arm.is_complete for arm in books.arms] == [False, True]
    books.add(SetNews(next=2, arms=WARMED[1:]))
    books.add(SetNews(next=4, slices=[ENDED[1]]))
    books.add(SetNews(next=6, slices=[ENDED[3]]))
    books.add(SetNews(next=0, slices=[ENDED[5]]))
    books.end_process(REPORT)
    assert not books.goes_on
    assert books.merge_cell(0).error is not None
    whole = books.merge_cell(1)
    assert whole.error is None
    assert whole.totals is not None
    assert whole.totals.slices == 3


def test_warm_ups_of_a_process_that_is_lost_are_not_known() -> None:
    books = SetBooks(WARM)
    books.add(SetNews(next=None, arms=CONNECTED))
    books.end_process(None, "it was lost")
    assert books.goes_on
    assert not any(arm.is_complete for arm in books.arms)


def test_a_loss_that_is_nobodys_ends_the_set() -> None:
    books = SetBooks(WARM)
    books.add(SetNews(next=None, arms=WARMED))
    books.end_process(None, "it was lost")
    assert not books.goes_on
    assert books.merge_cell(0).error == "it was lost"


def test_a_set_that_somebody_stops_does_not_go_on() -> None:
    books = SetBooks(SPEC)
    books.add(SetNews(next=1, arms=WARMED))
    books.add(SetNews(next=0, slices=[msgspec.structs.replace(ENDED[0], whole=False)]))
    books.end_process(REPORT)
    assert not books.goes_on
    report = books.merge_cell(0)
    assert (report.planned, report.totals) == (0, None)
    assert report.audit.sent == ENDED[0].report.planned + ENDED[0].report.lead_in_planned


def test_an_arm_that_ends_is_said_once_with_its_slices() -> None:
    books = SetBooks(SPEC)
    tell(books, range(1, 3), until=2)
    books.add(SetNews(next=0, arms=[msgspec.structs.replace(WARMED[0], error="its services ended")], slices=[ENDED[1]]))
    books.end_process(REPORT)
    assert books.happened == ["cell-0 ended after 1 of 3 slices"]
    assert books.merge_cell(0).error == "its services ended"
    assert books.merge_cell(1).error is None


def test_the_longest_silence_follows_what_a_load_process_does() -> None:
    spec = msgspec.structs.replace(SPEC, warm_up_s=2.0, warm_up_max_s=10.0)
    connecting, warming, playing, ending = (
        spec.find_longest_silence_s(last)
        for last in (None, SetNews(next=None), SetNews(next=3, first_ns=1), SetNews(next=0, first_ns=1))
    )
    assert connecting == warming > spec.warm_up_max_s + spec.drain_s
    assert spec.slice_s < playing < warming
    assert ending > 2 * spec.drain_s
    assert spec.find_longest_silence_s(SetNews(next=None, first_ns=1)) == playing
