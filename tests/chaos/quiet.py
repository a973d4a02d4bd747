"""What becomes of observations where nothing happens: by the decoder alone, without a broker, a fleet or a store.

In: messages. Out: what a topic would hold of them; rows of history, letters, what is online. Knows no check.
"""

from collections import Counter

import numpy as np

from tests.chaos.check import Offline
from tests.chaos.check_observed import Topic
from tests.chaos.cut import ENDS
from tests.chaos.observations import SPEC
from tests.chaos.places import Part, Place
from tests.chaos.windows import BEGIN_US, COLUMNS, LENGTH, STEP_US
from tests.observations.conftest import contract_of
from tests.observations.streaming import plan_of
from tests.seed.deadly import ASIDE
from undertow.core.embedding import Embedded
from undertow.observations.spec import WindowSpec
from undertow.observations.streamed import StreamedSeries
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition, Record
from undertow.settings.sections import KafkaSettings
from undertow.wiring.observed_source import open_records

PARTITIONS = 3
CONTRACT = contract_of(*COLUMNS, min_length=LENGTH, max_length=LENGTH)


def sums(windows):
    """Stand in for a model: the sum of each column."""
    features = np.stack([windows.past[name].reshape(len(windows), -1).sum(axis=1) for name in COLUMNS], axis=1)
    batch = EmbeddingBatch(
        space="0" * 64,
        series=windows.series,
        event_us=windows.end_us,
        created_us=np.zeros(len(windows), np.int64),
        features={"embedding": features.astype(np.float32)},
    )
    return Embedded(embeddings=batch, rows=np.arange(len(windows)))


def topic_of(messages):
    records, numbers, ends = {}, {}, Counter()
    for one in messages:
        place = Place(one.site % PARTITIONS, ends[one.site % PARTITIONS])
        ends[place.partition] += 1
        records[place] = one.value
        if one.number is not None:
            numbers[place] = one.number
    return Topic(records=records, numbers=numbers)


def streamed(topic, seed=0, first=0):
    """What the product's decoder makes of the records: rows of history, and letters.

    Who is given a window that ends him begins again, and the record that closed it is refused from then on.
    """
    refused = {}
    while (found := _read(topic, seed, first, refused)) is None:
        pass
    keys, numbers, vectors, letters = found
    ends = Counter(place.partition for place in topic.records)
    offline = Offline(
        sites=np.array([site for _, site, _ in keys], object),
        events=np.array([event for _, _, event in keys]),
        created=np.arange(len(keys)),
        partitions=np.array([place.partition for place, _, _ in keys]),
        offsets=np.array([place.offset for place, _, _ in keys]),
        generations=np.zeros(len(keys), int),
        vectors=np.array(vectors),
        numbers=np.array(numbers),
        parts=tuple(Part(partition=index, first=0, next=end, lost=0) for index, end in ends.items()),
    )
    return offline, letters


def _read(topic, seed, first, refused):
    """Return keys, numbers, vectors and letters; None where a window ends who reads: `refused` has its record then."""
    rng, series = np.random.default_rng(seed), StreamedSeries(plan_of(WindowSpec(**SPEC), CONTRACT))
    records = open_records(KafkaSettings(content="observations"), series, lambda _event: None)
    waiting = [
        Record(partition=Partition("windows", place.partition), offset=place.offset, appended_us=BEGIN_US, value=value)
        for place, value in sorted(topic.records.items(), key=lambda one: (one[0].offset, one[0].partition))
        if place.offset >= first
    ]
    keys, numbers, vectors, letters = [], [], [], []
    while waiting:
        size = int(rng.integers(1, 40))
        size = next((at or 1 for at, one in enumerate(waiting[:size]) if _place(one) in refused), size)
        taken, waiting = waiting[:size], waiting[size:]
        reason = refused.get(_place(taken[0]))
        records.refusing = None if reason is None else (reason, "")
        decoded = records.decode(taken)
        windows, ending = decoded.windows, {}
        for row in range(len(windows)):
            steps = np.stack([windows.past[name][windows.starts[row] : windows.starts[row + 1]] for name in COLUMNS], 1)
            closer = _place(taken[decoded.record_of[row]])
            if why := next((why for value, why in ENDS.items() if (steps == value).any()), None):
                ending[closer] = min(why, ending.get(closer, why), key=[*ENDS.values()].index)
            elif (steps == ASIDE).any():
                letters.append((closer, "tap"))
            else:
                event = (int(windows.end_us[row]) - BEGIN_US) // STEP_US
                keys.append((closer, windows.series["site"][row], event))
                numbers.append(steps.astype(np.float32).reshape(-1))
                vectors.append(steps.sum(axis=0).astype(np.float32))
        if ending:
            refused[min(ending)] = ending[min(ending)]
            return None
        letters += [(_place(one.record), one.reason) for one in decoded.rejects]
    return keys, numbers, vectors, letters


def _place(record):
    return Place(record.partition.index, record.offset)


def shown(offline):
    """What is online: of each site the newest event."""
    order = np.argsort(offline.events, kind="stable")
    return {offline.sites[row]: offline.vectors[row] for row in order.tolist()}
