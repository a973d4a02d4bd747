"""`undertow get`: what was written online, as text and as JSON."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from undertow.cli.main import main
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.wiring.recipes import embed_recipes
from undertow.wiring.stores import open_online

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

NOON = 1_717_243_200_000_000  # 2024-06-01 12:00 UTC


@pytest.fixture(params=["redis", "sqlite"])
def written(request, make_place):
    """Two pumps in the online store, the first written twice; returns a way to ask, the view and the newest vectors."""
    settings = make_place(online=request.param, partitions=1).settings
    (recipe,) = embed_recipes(settings)
    view = recipe.manifest.view()
    ((feature, size),) = view.features
    vectors = np.random.default_rng(5).normal(size=(3, size)).astype(np.float32)
    sink = open_online(recipe.online)
    for rows, pumps, event_us in (([0, 1], ["p1", "p2"], [NOON, NOON]), ([2], ["p1"], [NOON + 90_123_456])):
        batch = EmbeddingBatch(
            space=view.space,
            series={"pump": np.array(pumps, object)},
            event_us=np.array(event_us),
            created_us=np.array(event_us),
            features={feature: vectors[rows]},
        )
        assert sink.write(batch) == len(rows)
    sink.close()

    def get(*arguments):
        options = [f"--set=feast.{key}={value}" for key, value in settings.feast.model_dump().items()]
        result = CliRunner().invoke(main, ["get", *arguments, *options])
        assert result.exit_code == 0, result.output
        return result.output

    whole = request.param == "sqlite"
    return get, view, vectors, whole


def test_a_lookup_shows_the_newest_vector_exactly_as_json_and_its_head_as_text(written):
    get, view, vectors, whole = written

    newest = json.loads(get("pumps", "pump=p1", "--json"))
    assert (newest["view"], newest["space"]) == (view.view, view.space)
    assert newest["event_timestamp"] == f"2024-06-01T12:01:30{'' if whole else '.123456'}+00:00"
    assert newest["features"].keys() == {"embedding"}
    assert np.array_equal(np.array(newest["features"]["embedding"], np.float32), vectors[2])

    lines = get("pumps", "pump=p2").splitlines()
    said = "+00:00 (to the second: Feast reads no more from SQLite; the offline log has all of it)"
    told = f"event  2024-06-01T12:00:00{said if whole else '.000000+00:00'}"
    assert lines[:2] == [f"view   {view.view}", told]
    told = re.fullmatch(r"embedding  (\d+) dimensions, norm ([\d.]+): (.*) \.\.\.", lines[2])
    assert int(told[1]) == len(vectors[1])
    assert float(told[2]) == pytest.approx(np.linalg.norm(vectors[1]), abs=1e-4)
    assert [float(number) for number in told[3].split()] == pytest.approx(vectors[1, :6].tolist(), abs=1e-4)
    assert len(lines) == 3
