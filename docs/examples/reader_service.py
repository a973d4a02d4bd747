"""A service that scores the newest vectors: `undertow.AsyncReader` behind FastAPI, in one process on one core.

It needs `undertow[reader]`, fastapi and uvicorn, and no Feast. A question names many sites, for which there is one
round trip to the store; many questions wait for the store at the same time. Whatever cannot be scored is told apart:
`missing`, `old`, or, for all, that another space is served than the model was trained on.

    python reader_service.py feature_repo pumps model.json 8000
    curl -X POST localhost:8000/scores -d '["site-0", "site-1"]'
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response

import undertow

MAX_AGE = timedelta(hours=6)


def make_app(place: str, name: str, model: dict[str, Any], max_age: timedelta = MAX_AGE) -> FastAPI:
    """Return the service. `model` is {"view": the space that it was trained on, "weights": [...]}."""
    weights = np.array(model["weights"], np.float32)
    reader = undertow.AsyncReader(place, name=name, timeout=timedelta(seconds=2))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with reader:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/scores")
    async def scores(request: Request) -> Response:
        try:
            found = await reader.get(orjson.loads(await request.body()), max_age=max_age)
        except undertow.Unavailable as error:
            return answer(503, error=str(error))
        except (undertow.Refused, orjson.JSONDecodeError) as error:
            return answer(400, error=str(error))
        if found.view != model["view"]:  # a vector of another space would give a number that means nothing
            return answer(409, error="retrain", trained_on=model["view"], served=found.view)
        status = np.where(found.found, "ok", np.where(found.too_old, "old", "missing"))
        values = np.where(found.found, found.vectors @ weights, np.nan)  # NaN is null in JSON
        return answer(200, scores=values.tolist(), status=status.tolist())

    return app


def answer(code: int, **said: Any) -> Response:
    """Answer by JSON."""
    return Response(orjson.dumps(said), code, media_type="application/json")


def main(place: str, name: str, model: str, port: str) -> None:
    """Serve until Ctrl-C."""
    app = make_app(place, name, json.loads(Path(model).read_text()))
    uvicorn.run(app, port=int(port), access_log=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
