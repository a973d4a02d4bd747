"""Every private name of another package that the product uses, and a look at whether each is still there.

Run as a program it looks at the packages that its own process sees; it prints what is missing and then ends with 1.
"""

import importlib
import inspect
import sys

NAMES = {
    "ray": (
        "ray._private.state:state.get_draining_nodes",
        "ray._private.ray_constants:ENABLE_RAY_CLUSTER",
        "ray._private.services:canonicalize_bootstrap_address_or_die",
        "ray._private.authentication.authentication_token_setup:maybe_enable_token_auth_if_token_available",
    ),
    "kafka-python": (
        "kafka.consumer.fetcher:Fetcher._parse_fetched_data",
        "kafka.consumer.fetcher:Fetcher.fetched_records",
        "kafka.consumer.fetcher:Fetcher/self._next_partition_records",
        "kafka.consumer.group:KafkaConsumer/self._cluster",
        "kafka.consumer.group:KafkaConsumer/self._fetcher",
        "kafka.consumer.group:KafkaConsumer/self._manager",
        "kafka.consumer.group:KafkaConsumer/self._net",
        "kafka.net.compat:KafkaNetClient",
        "kafka.net.manager:KafkaConnectionManager._build_transport",
        "kafka.net.manager:KafkaConnectionManager.bootstrap",
        "kafka.net.manager:KafkaConnectionManager.call_soon",
        "kafka.net.manager:KafkaConnectionManager.get_connection",
        "kafka.net.manager:KafkaConnectionManager.least_loaded_node",
        "kafka.net.manager:KafkaConnectionManager.send",
        "kafka.net.manager:KafkaConnectionManager.wait_for",
        "kafka.net.manager:KafkaConnectionManager/self._conns",
        "kafka.net.sasl.oauth:AbstractTokenProvider.token",
        "kafka.net.selector:NetworkSelector",
        "kafka.net.transport:KafkaTCPTransport._sock_recv",
        "kafka.partitioner.default:murmur2",
        "kafka.protocol.metadata:MetadataRequest",
        "kafka.version:__version__",
    ),
    "pytorch-forecasting": (
        "pytorch_forecasting.data.encoders:TorchNormalizer/self._method_kwargs",
        "pytorch_forecasting.data.encoders:GroupNormalizer/self._groups",
        "pytorch_forecasting.metrics.base_metrics._base_metrics:MultiLoss",
    ),
    # Private by their spelling alone: PyTorch's own pages tell their users to use these.
    "torch": (
        "torch._inductor:aoti_compile_and_package",
        "torch._inductor:aoti_load_package",
        "torch.utils._python_dispatch:TorchDispatchMode",
        "torch:Tensor._version",
    ),
}
"""By distribution: `module:attribute`, or `module:Class/self.attribute` for what its instances hold."""


def missing(distribution: str) -> list[str]:
    """Return the names that are no longer there."""
    return [name for name in NAMES[distribution] if not _is_there(name)]


def _is_there(name: str) -> bool:
    module, _, rest = name.partition(":")
    path, _, held = rest.partition("/")
    try:
        found = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return False
    return not held or any(f"{held} =" in inspect.getsource(one) for one in found.__mro__[:-1])


if __name__ == "__main__":
    GONE = [name for distribution in sys.argv[1:] for name in missing(distribution)]
    print("\n".join(GONE))
    sys.exit(bool(GONE))
