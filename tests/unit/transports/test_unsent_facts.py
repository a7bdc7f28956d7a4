"""Tests when a Kafka record is given up whose fact is not taken."""

from aiokafka import TopicPartition

from transports.backends.kafka.unsent import UnsentFacts

ONE, OTHER = (TopicPartition("facts", 0), 7), (TopicPartition("facts", 1), 7)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_record_is_given_up_when_it_has_failed_for_the_limit_and_no_other_is() -> None:
    clock = Clock()
    unsent = UnsentFacts(60.0, clock)
    unsent.fail(ONE, 100.0)
    clock.now_s = 159.0
    unsent.fail(ONE, 158.0)
    unsent.fail(OTHER, 158.0)
    assert not unsent.is_given_up(ONE)
    clock.now_s = 160.0
    unsent.fail(ONE, 159.0)
    assert unsent.is_given_up(ONE) and not unsent.is_given_up(OTHER)


def test_one_that_was_carried_on_has_the_whole_limit_again() -> None:
    clock = Clock()
    unsent = UnsentFacts(60.0, clock)
    unsent.fail(ONE, 100.0)
    unsent.succeed(ONE)
    clock.now_s = 170.0
    unsent.fail(ONE, 165.0)
    assert not unsent.is_given_up(ONE)


def test_what_failed_before_kafka_was_away_does_not_count() -> None:
    clock = Clock()
    unsent = UnsentFacts(60.0, clock)
    unsent.fail(ONE, 0.0)
    assert unsent.is_given_up(ONE)
    unsent.forget()
    assert not unsent.is_given_up(ONE)
    unsent.fail(ONE, 99.0)
    assert not unsent.is_given_up(ONE)
