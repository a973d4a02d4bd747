"""The secrets that a process knows, as the mask of its logs, its status and its errors.

In: a recipe. Out: a `SecretMask`. Knows no log. Nothing is kept anywhere else: who writes
texts is given the mask.
"""

from collections.abc import Iterator
from functools import partial

from undertow.adapters.feast_repo import OnlineRecipe
from undertow.adapters.redis_address import secrets_of as secrets_of_redis
from undertow.core.masking import secrets_in
from undertow.core.secret_mask import SecretMask
from undertow.settings.log_sections import OfflineSettings
from undertow.storage.store_path import StorePath
from undertow.wiring.command_secrets import secrets_in_headers
from undertow.wiring.recipes import EmbedRecipe
from undertow.wiring.root import StreamRecipe


def mask_of_fleet(recipe: StreamRecipe) -> SecretMask:
    """Return the mask of a replica, or of a controller."""
    online = [one.online for one in recipe.artifacts]
    return SecretMask(
        recipe.kafka.secrets,
        *(partial(_in_config, one) for one in online),
        *(partial(_in_connection, one) for one in online),
        *(partial(_of_store, one.offline) for one in recipe.artifacts),
        partial(secrets_in_headers, recipe.tell.otel),
    )


def mask_of_embedding(recipe: EmbedRecipe) -> SecretMask:
    """Return the mask of a process that embeds without a broker, such as an actor of a backfill."""
    return SecretMask(
        partial(_in_config, recipe.online), partial(_in_connection, recipe.online), partial(_of_store, recipe.offline)
    )


def _in_config(online: OnlineRecipe) -> Iterator[str]:
    yield from secrets_in(online.repo_config)
    yield from secrets_in(online.options)


def _of_store(offline: OfflineSettings) -> Iterator[str]:
    if isinstance(offline.path, StorePath):
        yield from offline.path.options.secrets()


def _in_connection(online: OnlineRecipe) -> Iterator[str]:
    if online.type == "redis":
        yield from secrets_of_redis(str(online.options.get("connection_string") or ""))
