"""Read back what a run left behind: the topic, both stores, the dead letters.

In: a world. Out: what `check` compares, and whether probes are readable. Knows nothing of right and wrong.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from feast import FeatureStore
from kafka import KafkaConsumer, TopicPartition

from schemas.json_codec import encode_json
from tests.chaos.check import Place, Truth
from tests.chaos.windows import BEGIN_US, POISON, SITES, STEP_US, windows_of
from tests.chaos.world import World
from workers.adapters.kafka_dead_letters import PREFIX
from workers.adapters.offline_parts import read_space
from workers.wiring import open_embed

SITE_NAMES = [f"s{index:03d}" for index in range(SITES)]


class Online:
    """The online store as Feast's readers see it."""

    def __init__(self, world: World) -> None:
        """Open the repository."""
        feast = world.settings.feast
        self._store = FeatureStore(repo_path=str(feast.repo), fs_yaml_file=feast.repo / feast.config)
        self._service = self._store.get_feature_service("sites")

    def read(self, sites: Iterable[str]) -> dict[str, tuple[int, np.ndarray]]:
        """Return number and vector of each site that has any."""
        rows = [{"site": site} for site in sites]
        found = self._store.get_online_features(self._service, entity_rows=rows).to_dict(include_event_timestamps=True)
        return {
            row["site"]: (round((at * 1_000_000 - BEGIN_US) / STEP_US), np.array(vector, np.float32))
            for row, at, vector in zip(rows, found["embedding__ts"], found["embedding"], strict=True)
            if vector is not None
        }

    def shows(self, probes: Mapping[str, int]) -> bool:
        """Whether all of these, or newer ones, are readable."""
        found = self.read(probes)
        return all(site in found and found[site][0] >= number for site, number in probes.items())


def read_topic(world: World, topic: str, partitions: int) -> list:
    """Return all records."""
    consumer = KafkaConsumer(bootstrap_servers=world.settings.kafka.bootstrap, enable_auto_commit=False)
    places = [TopicPartition(topic, index) for index in range(partitions)]
    consumer.assign(places)
    consumer.seek_to_beginning()
    ends, records = consumer.end_offsets(places), []
    while any(consumer.position(place) < end for place, end in ends.items()):
        records += [record for batch in consumer.poll(timeout_ms=1000).values() for record in batch]
    consumer.close()
    return records


def read_truth(world: World, last: int) -> Truth:
    """Read the topic, and embed every number directly, without a fleet."""
    everyone = windows_of(range(last + 1))
    vectors = open_embed(world.recipe.artifacts[0])(everyone).embeddings.features["embedding"]
    number_of = {value: n for n, value in enumerate(encode_json(everyone))}
    records = [((r.partition, r.offset), r.value) for r in read_topic(world, "windows", len(world.recipe.partitions))]
    return Truth(
        windows={place: number_of[value] for place, value in records if not value.startswith(POISON)},
        poison=frozenset(place for place, value in records if value.startswith(POISON)),
        vectors=vectors,
        sites=everyone.series["site"],
    )


def read_offline(world: World) -> pd.DataFrame:
    """Return all rows of the offline log."""
    table = read_space(world.settings.offline.path, world.recipe.artifacts[0].manifest.space).to_pandas()
    number = (table["event_timestamp"].astype("datetime64[us, UTC]").astype("int64") - BEGIN_US) // STEP_US
    names = {"origin_partition": "partition", "origin_offset": "offset"}
    return table.rename(columns=names).assign(number=number)


def read_rejects(world: World) -> list[Place]:
    """Return where each dead letter came from; one may be there more than once."""
    told = [dict(record.headers) for record in read_topic(world, world.settings.kafka.dead_letter_topic, 1)]
    return [(int(one[f"{PREFIX}partition"]), int(one[f"{PREFIX}offset"])) for one in told]
