"""Run compiled modules in place of the original ones, if they were made for this machine and give the same vectors.

In: a model, the artifact's compiled parts, a function that embeds the sample windows. Out: the model, changed in place.
Knows no artifact's folder and no compiler.
"""

import hashlib
import io
import logging
import platform
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from undertow.artifact.faster.calls import fits, flatten
from undertow.artifact.faster.class_paths import VARIABLE_SELECTION, is_a
from undertow.artifact.faster.notices import tell, tell_error
from undertow.artifact.faster.rewrite import MARGIN, distance
from undertow.artifact.faster.selection import in_slices
from undertow.artifact.format.parts import Compiled, CompiledPart

CPU_INFO = Path("/proc/cpuinfo")

log = logging.getLogger(__name__)

Native = Callable[..., Any]
Embedding = Callable[[], Sequence[Tensor]]
"""A function that returns the vectors of the sample windows."""


def find_target(device: str) -> dict[str, str]:
    """Return the properties of this machine on which native code depends.

    It is compiled for this processor's exact instruction set, and crashes where an instruction is missing. torch's own
    name for a processor's capability is too coarse for that.
    """
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return {
        "torch": torch.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "capability": torch.backends.cpu.get_cpu_capability(),
        "instructions": hashlib.sha256(" ".join(sorted(flags.split())).encode()).hexdigest()[:16],
        "device": device,
    }


def run_compiled(
    model: nn.Module, compiled: Compiled, contents: Mapping[str, bytes], embed: Embedding, device: str
) -> tuple[str, ...]:
    """Replace modules by their compiled parts; return the paths, none if they do not give the same vectors here.

    `contents` are the packages by file name. They are code and are executed: call this only if the owner allowed it.
    """
    here = find_target(device)
    if other := {key: wanted for key, wanted in compiled.target.items() if here.get(key) != wanted}:
        differences = ", ".join(f"{key} {wanted}, not {here.get(key)}" for key, wanted in other.items())
        tell(log, f"the model runs uncompiled, since it was compiled for {differences}; pack it on such a machine")
        return ()
    before: list[tuple[nn.Module, Any]] = []
    try:
        expected = embed()
        for part in compiled.parts:
            module = model.get_submodule(part.path)
            native = open_package(contents[part.file])
            before.append((module, vars(module).get("forward")))
            forward = _forward(native, part, module.forward)
            module.forward = in_slices(forward) if is_a(module, VARIABLE_SELECTION) else forward
        apart = max(distance(*pair) for pair in zip(expected, embed(), strict=True))
    except Exception as error:  # noqa: BLE001 - whatever foreign code raises, the original model still works
        tell_error(log, "the model runs uncompiled, since its compiled parts fail on the sample windows", error)
    else:
        if apart <= MARGIN:
            return tuple(part.path for part in compiled.parts)
        tell(log, f"the model runs uncompiled, since compiled its sample vectors differ by {apart:.2g}")
    for module, forward in before:
        del module.forward
        if forward is not None:
            module.forward = forward
    return ()


def open_package(content: bytes) -> Native:
    """Load the native code from a folder of ours, deleted at once: torch's would stay if the process were killed."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(io.BytesIO(content)) as package:
        package.extractall(folder)
        native: Native = torch._inductor.aoti_load_package(folder)  # noqa: SLF001 - the documented name
    return native


def _forward(native: Native, part: CompiledPart, eager: Callable[..., Any]) -> Callable[..., Any]:
    # A package runs one call at a time and waits for its turn while holding the GIL, which an operation inside the
    # running call may need: without this lock two threads would deadlock.
    lock = Lock()

    def forward(*args: Any, **kwargs: Any) -> Any:
        tensors: list[Tensor] = []
        try:
            arguments = flatten((args, kwargs), tensors)
        except TypeError:
            return eager(*args, **kwargs)
        if arguments != part.arguments or not fits(tensors, part):
            return eager(*args, **kwargs)
        with lock:
            return native(*tensors)

    return forward
