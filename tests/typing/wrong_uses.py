"""What mypy must refuse: an `ignore` that is not needed any more is an error of `make lint`. Nothing runs it."""

from torch import Tensor, nn

import undertow
from undertow import testing


def wrong(model: nn.Module, x: Tensor) -> None:
    undertow.load(5)  # type: ignore[arg-type]
    undertow.load("artifact", "cpu")  # type: ignore[call-arg]
    undertow.load("artifact").embed()  # type: ignore[call-arg]
    undertow.load("artifact").embed(x).vectors()  # type: ignore[attr-defined]
    undertow.load("artifact").embed(x)["hidden"] = x  # type: ignore[index]
    undertow.pack("model.toml", taps={"hidden": "rnn:last"})  # type: ignore[call-arg]
    undertow.pack("model.toml", name="pumps", taps=["rnn:last"])  # type: ignore[arg-type]
    undertow.pack("model.toml", name="pumps", taps={"hidden": "rnn"}, precision="float8")  # type: ignore[arg-type]
    undertow.taps(model, series=["site"])  # type: ignore[call-overload]
    undertow.Taps(model, ["rnn"])  # type: ignore[list-item]
    undertow.laod("artifact")  # type: ignore[attr-defined]
    undertow.taps("model.ckpt", x)  # type: ignore[call-overload]
    testing.MemoryBroker().append("windows", b"{}")  # type: ignore[arg-type]
    testing.MemoryOnline(writes=["away"])  # type: ignore[list-item]
    testing.MemorySource(testing.MemoryBroker())  # type: ignore[call-arg]
