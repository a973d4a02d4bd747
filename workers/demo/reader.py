"""A consumer of the features, as another team would write it: it knows Feast, scikit-learn and nothing else of ours.

In: a Feast repository, the name of a FeatureService, labels of history and of what comes; on stdin `begin` when history
is there, then `finish`, or its end. Out: one JSON line for each look that found news; after `finish`, a file with the
features of every label as they were at its time. Run by its path, so that it imports no file of this project.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
from feast import FeatureStore
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

LABEL, TIME, ROW = "exercise", "event_timestamp", "row"


def join(store: Any, service: Any, labels: pd.DataFrame) -> Any:
    """Return what the features were at the time of each label, in the order of the labels, by name side by side."""
    asked = labels.drop(columns=LABEL).assign(**{ROW: np.arange(len(labels))})
    found = store.get_historical_features(entity_df=asked, features=service).to_df().sort_values(ROW)
    features = sorted(set(found.columns) - set(asked.columns))
    missing = found.loc[found[features].isna().any(axis=1), TIME]
    if len(found) != len(labels) or len(missing):
        message = f"{len(missing)} of {len(labels)} labels have no features, the first of {missing.min()}"
        raise SystemExit(message)
    return np.hstack([np.stack(found[feature].to_numpy()) for feature in features])


def look(store: Any, service: Any, entities: list[dict[str, str]]) -> Iterator[tuple[int, int, Any]]:
    """Return the newest features of each entity that has them: the entity's position, event time in us, values."""
    response = store.get_online_features(features=service, entity_rows=entities).proto
    names = sorted((name, place) for place, name in enumerate(response.metadata.feature_names.val))
    columns = [response.results[place] for name, place in names if name not in entities[0]]
    rows = zip(*(column.values for column in columns), strict=True)  # noqa: PD011  protobuf's, not pandas'
    for row, values in enumerate(rows):
        if all(value.WhichOneof("val") for value in values):
            # The response counts microseconds; `to_dict` would cut them to seconds.
            when_us = columns[0].event_timestamps[row].ToMicroseconds()
            yield row, when_us, np.concatenate([value.float_list_val.val for value in values])


def follow(
    store: Any, service: Any, classifier: Any, labels: pd.DataFrame, finish: threading.Event, every_s: float
) -> None:
    """Look until told to finish, and predict whatever is new."""
    ids = [name for name in labels.columns if name not in {LABEL, TIME}]
    keys = list(zip(*(labels[name] for name in ids), strict=True))
    event_us = labels[TIME].dt.as_unit("us").astype("int64")
    truth = dict(zip(zip(keys, event_us, strict=True), labels[LABEL], strict=True))
    keys = sorted(set(keys))
    entities = [dict(zip(ids, key, strict=True)) for key in keys]
    newest = [0] * len(keys)
    predicted = correct = 0
    say({"ready": len(keys)})
    while not finish.wait(every_s):
        new = [found for found in look(store, service, entities) if found[1] > newest[found[0]]]
        read_at = time.time()
        if not new:
            continue
        names = classifier.predict(np.stack([vector for _, _, vector in new]))
        for (row, when_us, _), name in zip(new, names, strict=True):
            newest[row] = when_us
            predicted += 1
            correct += truth.get((keys[row], when_us)) == name
        seen = [[keys[row], when_us] for row, when_us, _ in new]
        say({"t": read_at, "predicted": predicted, "correct": correct, "seen": seen})


def say(line: dict[str, Any]) -> None:
    """Write one line for whoever started this program."""
    print(json.dumps(line), flush=True)  # noqa: T201 - stdout is this program's output


def main() -> None:
    """Parse, connect, train, follow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repo", type=Path, required=True, help="Folder of feature_store.yaml.")
    parser.add_argument("--service", required=True)
    parser.add_argument("--history", type=Path, required=True, help="Parquet: ids, event_timestamp, exercise.")
    parser.add_argument("--truth", type=Path, required=True, help="The same of what comes, to count what is right.")
    parser.add_argument("--vectors", type=Path, required=True, help="The .npz to write: the features of both.")
    parser.add_argument("--every-s", type=float, default=0.01)
    options = parser.parse_args()
    finish = threading.Event()

    def until_told() -> None:
        if sys.stdin.readline().strip() == "finish":
            finish.set()
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    def leave(*_: object) -> None:
        raise SystemExit

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; our starter decides
    if sys.stdin.readline().strip() != "begin":
        return
    threading.Thread(target=until_told, daemon=True).start()
    store = FeatureStore(repo_path=str(options.repo))
    service = store.get_feature_service(options.service)
    history, truth = pd.read_parquet(options.history), pd.read_parquet(options.truth)
    known = join(store, service, history)
    classifier = make_pipeline(StandardScaler(), SVC(C=3.0)).fit(known, history[LABEL])
    follow(store, service, classifier, truth, finish, options.every_s)
    np.savez(options.vectors, history=known, truth=join(store, service, truth))
    ibis.options.default_backend = None  # Feast's DuckDB; held to the end, it complains of leaks when Python ends


if __name__ == "__main__":
    main()
