"""Compile parts of a model at packing, if there is a C++ compiler.

A module is compiled if its calls take and return only tensors and plain data, nothing inside it is tapped or recurrent
(torch has fast kernels for recurrent layers), it does several operations, and it writes a good share of all the numbers
that a forward writes: fusing operations saves that memory traffic. Outer modules are tried before inner ones.

In: a model as it will be when loaded, a function that runs it on windows of several sizes. Out: `Compiled`, and the
packages by file name. Knows no manifest and no artifact.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export
from torch.utils._python_dispatch import TorchDispatchMode

from undertow.artifact.faster.calls import flatten, rebuild
from undertow.artifact.faster.compiled import find_target
from undertow.artifact.faster.skipping import tensors_of
from undertow.artifact.format.parts import Arguments, Compiled, CompiledPart, Size
from undertow.core.taps import find_module, takes_hooks

SHARE = 0.1
"""The least share, of all numbers written in a forward, for which a module is compiled. A choice."""
OPERATIONS = 4
"""The fewest operations for each call that are worth a call of native code. A choice."""
TRACED = 2
"""torch's export gives every varying size a lower bound of at least 2. Sizes of 1 are allowed all the same: that they
work, too, is checked by comparing vectors when the artifact is loaded."""
LARGE = 1 << 31
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
FOLDER = "compiled"

TellOwner = Callable[[str], object]


@dataclass(slots=True, kw_only=True, eq=False)
class ModuleTrace:
    """What was seen of a module in the sample forwards."""

    arguments: Arguments = field(default_factory=dict)
    """Empty before the first call."""
    calls: list[tuple[Tensor, ...]] = field(default_factory=list)
    is_pure: bool = True
    written: int = 0
    operations: int = 0


def compile_parts(
    model: nn.Module, taps: Sequence[str], run: Callable[[], object], note: TellOwner
) -> tuple[Compiled | None, dict[str, bytes]]:
    """Return the compiled parts, if any, and the packages by file name. Messages for the user go to `note`."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        note(f"nothing is compiled: expected a C++ compiler, found no {compiler} on the PATH; install one, or set CXX")
        return None, {}
    seen, total = _watch(model, run)
    parts: list[CompiledPart] = []
    packages: dict[str, bytes] = {}
    for path, one in _candidates(model, taps, seen, total):
        if any(path.startswith(f"{part.path}.") for part in parts):
            continue
        file = f"{FOLDER}/{len(parts)}.pt2"
        try:
            part, packages[file] = _compile(path, file, model.get_submodule(path), one)
        except Exception as error:  # noqa: BLE001 - whatever the compiler raises, the module runs uncompiled
            note(f"{path} is not compiled: {type(error).__name__}: {str(error).strip().splitlines()[0]}")
            continue
        parts.append(part)
    if not parts:
        note("nothing is compiled: no part of this model takes and returns only tensors and is worth it")
        return None, {}
    return Compiled(target=find_target("cpu"), parts=tuple(parts)), packages


def _candidates(
    model: nn.Module, taps: Sequence[str], seen: dict[str, ModuleTrace], total: int
) -> Iterator[tuple[str, ModuleTrace]]:
    tapped = {find_module(model, tap) for tap in taps}
    for path, module in model.named_modules():
        inside = set(module.modules())
        one = seen.get(path)
        if (
            path
            and one is not None
            and one.is_pure
            and one.written >= SHARE * total
            and one.operations >= OPERATIONS * len(one.calls)
            and not tapped & (inside - {module})
            and not any(isinstance(part, RECURRENT) for part in inside)
        ):
            yield path, one


def _watch(model: nn.Module, run: Callable[[], object]) -> tuple[dict[str, ModuleTrace], int]:
    """Run the model; return what each module did, and how many numbers all operations together wrote."""
    seen: dict[str, ModuleTrace] = {}
    with ExitStack() as stack, _Counter() as counter:
        for path, module in model.named_modules():
            if not takes_hooks(module):
                continue
            watch = _Watch(seen.setdefault(path, ModuleTrace()), counter)
            stack.callback(module.register_forward_pre_hook(watch.begin, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(watch.end, prepend=True).remove)
        run()
    return seen, counter.written


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch has no type for it
    """Counts operations and the numbers that they write. A view writes none."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch has no type for it
        self.operations = 0
        self.written = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.operations += 1
            self.written += sum(tensor.numel() for tensor in tensors_of(output))
        return output


class _Watch:
    """The hooks that record one module's arguments and operations."""

    def __init__(self, seen: ModuleTrace, counter: _Counter) -> None:
        self._seen, self._counter = seen, counter
        self._before = (0, 0)

    def begin(self, _module: nn.Module, args: Any, kwargs: Any) -> None:
        tensors: list[Tensor] = []
        try:
            arguments = flatten((args, kwargs), tensors)
        except TypeError:
            self._seen.is_pure = False
        else:
            self._seen.is_pure &= bool(tensors) and (self._seen.arguments or arguments) == arguments
            self._seen.arguments = arguments
            self._seen.calls.append(tuple(tensors))
        self._before = self._counter.operations, self._counter.written

    def end(self, _module: nn.Module, _args: Any, output: Any) -> None:
        self._seen.operations += self._counter.operations - self._before[0]
        self._seen.written += self._counter.written - self._before[1]
        try:
            flatten(output, [])
        except TypeError:
            self._seen.is_pure = False


class _Flat(nn.Module):
    """A module that takes a list of tensors."""

    def __init__(self, module: nn.Module, arguments: Arguments) -> None:
        super().__init__()
        self.module = module
        self.arguments = arguments

    def forward(self, *tensors: Tensor) -> Any:
        args, kwargs = rebuild(self.arguments, iter(tensors))
        return self.module.forward(*args, **kwargs)  # `forward`, since the hooks run outside of it


def _compile(path: str, file: str, module: nn.Module, seen: ModuleTrace) -> tuple[CompiledPart, bytes]:
    largest = max(seen.calls, key=lambda tensors: sum(tensor.numel() for tensor in tensors))
    sizes = _sizes(seen.calls)
    dims = tuple({axis: Dim.DYNAMIC for axis, size in enumerate(one) if isinstance(size, str)} for one in sizes)
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        examples = tuple(tensor.clone() for tensor in largest)  # export takes no inference tensors
        program = export(_Flat(module, seen.arguments).eval(), examples, dynamic_shapes={"tensors": dims}, strict=False)
        package = Path(folder) / "part.pt2"
        # Without dynamic_threads the number of threads would be fixed to that of this process.
        torch._inductor.aoti_compile_and_package(  # noqa: SLF001 - the documented name
            program, package_path=str(package), inductor_configs={"cpp.dynamic_threads": True}
        )
        content = package.read_bytes()
    part = CompiledPart(
        path=path,
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        arguments=seen.arguments,
        tensors=tuple((str(tensor.dtype), one) for tensor, one in zip(largest, sizes, strict=True)),
        least=_least(program, sizes),
    )
    return part, content


def _sizes(calls: Sequence[tuple[Tensor, ...]]) -> list[tuple[Size, ...]]:
    """Return the size of each axis of each tensor: a number, or for axes that vary together a common name."""
    names: dict[tuple[int, ...], str] = {}
    return [
        tuple(
            found[0] if len(set(found)) == 1 else names.setdefault(found, f"size{len(names)}")
            for found in zip(*(tensor.shape for tensor in along), strict=True)
        )
        for along in zip(*calls, strict=True)
    ]


def _least(program: ExportedProgram, sizes: Sequence[tuple[Size, ...]]) -> dict[str, int]:
    """Return, by name, the smallest sizes that the program supports. Raises `ValueError` if it has an upper limit."""
    bounds = {str(symbol): span for symbol, span in program.range_constraints.items()}
    if any(span.upper < LARGE for span in bounds.values()):
        message = f"expected sizes without a limit, found {bounds}"
        raise ValueError(message)
    inputs = {node.name: node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder"}
    least: dict[str, int] = {}
    for name, one in zip(program.graph_signature.user_inputs, sizes, strict=True):
        for symbol, size in zip(inputs[str(name)], one, strict=True):
            if isinstance(size, str) and str(symbol) in bounds and (lower := int(bounds[str(symbol)].lower)) > TRACED:
                least[size] = max(lower, least.get(size, 0))
    return least
