"""A service of another team: features by plain Feast, into a model of its own. It imports nothing of Undertow.

A series that was never embedded has no row, and is told as `missing`. Feast serves a vector of any age online, whatever
the view's ttl, so the age is looked at here. The model knows one vector space: once another is promoted, the answer is
`retrain`, and no vector that it has never seen is fed to it.

    python reader.py feature_repo pumps model.json 8000; then open http://127.0.0.1:8000/?site=site-0
"""

import asyncio
import json
import sys
import time
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from feast import FeatureStore

MAX_AGE_S = 6 * 3600.0


class Leaks:
    """Scores the newest state of a site. `model` is {"view": the space that it was trained on, "weights": [...]}."""

    def __init__(self, repo: str, service: str, model: dict[str, Any]) -> None:
        """Open the store, once for all questions."""
        self._store, self._service, self._model = FeatureStore(repo), service, model

    def score(self, site: str, now_s: float) -> dict[str, Any]:
        """Return a score, or why there is none. `now_s` is in seconds since the epoch."""
        service = self._store.get_feature_service(self._service)
        if (view := service.feature_view_projections[0].name) != self._model["view"]:
            return {"status": "retrain", "trained_on": self._model["view"], "served": view}
        response = self._store.get_online_features(features=service, entity_rows=[{"site": site}])
        found = response.to_dict(include_event_timestamps=True)
        vector = found["embedding"][0]
        if vector is None:
            return {"status": "missing"}
        age_s = now_s - found["embedding__ts"][0]
        if age_s > MAX_AGE_S:
            return {"status": "old", "age_seconds": age_s}
        score = sum(x * weight for x, weight in zip(vector, self._model["weights"], strict=True))
        return {"status": "ok", "score": score, "age_seconds": age_s}

    def close(self) -> None:
        """Close connections: Feast's own word for it is a coroutine. Those of SQLite and Redis end with the object."""
        asyncio.run(self._store.close())
        del self._store


def main(repo: str, service: str, model: str, port: str) -> None:
    """Answer over HTTP until Ctrl-C. One thread: a connection of SQLite belongs to the one that has opened it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server looks for
            asked = dict(parse_qsl(urlsplit(self.path).query))
            self.send_response(200 if "site" in asked else 400)
            self.end_headers()
            said = leaks.score(asked["site"], time.time()) if "site" in asked else {"status": "expected ?site=..."}
            self.wfile.write(json.dumps(said).encode())

    with (
        closing(Leaks(repo, service, json.loads(Path(model).read_text()))) as leaks,
        HTTPServer(("127.0.0.1", int(port)), Handler) as server,
        suppress(KeyboardInterrupt),
    ):
        print("listening on port", server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
