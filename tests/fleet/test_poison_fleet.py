"""A record that ends each replica which takes it, through a real fleet: it is found, and the fleet goes on."""

import numpy as np
import pytest
import torch

from tests.fleet.live import offline_rows, running, wait_until, with_fleet
from tests.packing import pack
from tests.seed.deadly import DEADLY, state
from undertow.adapters.kafka_dead_letters import PREFIX
from undertow.schemas.json_codec import encode_json
from undertow.schemas.windows import WindowBatch

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.usefixtures("ray_session")]

LENGTH, COUNT, PARTITIONS = 4, 200, 2
TOML = f"""
class = "tests.seed.deadly:DeadlyForecaster"
weights = "weights.pt"
[arguments]
columns = 2
length = {LENGTH}
hidden_size = 4
[input]
columns = ["flow", "head"]
axes = "nf"
max_length = {LENGTH}
[series]
pump = "string"
"""


def windows_with(bad: dict[int, float]) -> WindowBatch:
    """So many windows of two pumps in turn, each with a partition of its own; the model does not survive some."""
    flows = np.random.default_rng(0).normal(size=(COUNT, LENGTH))
    for number, value in bad.items():
        flows[number, 0] = value
    return WindowBatch(
        series={"pump": np.array([f"p{n % PARTITIONS:03d}" for n in range(COUNT)], object)},
        end_us=1_767_225_600_000_000 + np.arange(COUNT) * 1_000_003,
        lengths=np.full(COUNT, LENGTH),
        past={"flow": flows.reshape(-1), "head": np.ones(COUNT * LENGTH)},
        future={},
        static={},
    )


@pytest.mark.timeout(400)
def test_a_record_that_kills_becomes_a_dead_letter_and_all_others_are_embedded(make_place, tmp_path):
    torch.save(state(2, LENGTH, 4), tmp_path / "weights.pt")
    (tmp_path / "model.toml").write_text(TOML)
    pack(tmp_path / "model.toml", tmp_path / "artifact", name="pumps", taps={"embedding": "hidden"}, code=["tests"])
    place = make_place(partitions=PARTITIONS, artifacts=[tmp_path / "artifact"])
    settings = with_fleet(place.settings, replicas=2, standbys=1)
    model = settings.model.model_copy(update={"code": ("tests",)})
    settings = settings.model_copy(update={"model": model})
    bad = {40: DEADLY}
    windows = windows_with(bad)
    place.produce(windows, partitions=PARTITIONS)
    with running(settings) as fleet:
        wait_until(fleet, lambda s: bool(s.suspects), 120)
        last = wait_until(fleet, lambda s: s.lag == 0 and sum(s.counts.rejects.values()) >= 1, 300)
        assert last.counts.windows >= COUNT - 1
    rows = offline_rows(settings)
    good = np.delete(windows.end_us, list(bad))
    assert sorted(rows["event_timestamp"].astype("int64")) == good.tolist()
    (letter,) = place.dead_letters(1)
    assert letter.value == encode_json(windows)[40]
    assert dict(letter.headers)[f"{PREFIX}reason"] == b"kills-replica"
