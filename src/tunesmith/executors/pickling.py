"""Makes the job and the configurations into bytes for the workers, and says what can't be made so."""

from __future__ import annotations

import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import IO, Any

from tunesmith.errors import NotPicklableError, StorageError
from tunesmith.worker.by_value import dumps
from tunesmith.worker.job import Job

_ATOMS = frozenset({str, int, float, bool, type(None), bytes})
_ALIGNMENT = 64
_DEPTH_MAX = 12
_VISITS_MAX = 2000


def pack_config(config: dict[str, Any]) -> bytes:
    """Return a configuration as a pickle.

    Raises:
        NotPicklableError: a value can't be sent to another process.
    """
    try:
        if all(map(_is_plain, config.values())):
            return pickle.dumps(config, protocol=5)
        with ByValue(config):
            return dumps(config)
    except Exception as error:
        raise NotPicklableError(_complaint("The configuration", config, "config", error)) from error


def pack_job(job: Job) -> tuple[IO[bytes], int, list[tuple[int, int]]]:
    """Write the trainable and its parameters to a file without a name; large buffers follow the pickle.

    Returns:
        The file, the pickle's size, and the offset and length of each buffer.

    Raises:
        NotPicklableError: one of them can't be sent to another process.
        StorageError: the file can't be written.
    """
    data, buffers = dump_job(job)
    spans: list[tuple[int, int]] = []
    try:
        file = tempfile.TemporaryFile(dir=job.path)  # noqa: SIM115 - it lives as long as the executor
        file.write(data)
        at = len(data)
        for buffer in buffers:
            at += file.write(b"\0" * (-at % _ALIGNMENT))
            with buffer.raw() as raw:
                spans.append((at, raw.nbytes))
                at += file.write(raw)
        if at == 0 or (spans and spans[-1][1] == 0):
            file.write(b"\0")
        file.flush()
    except OSError as error:
        raise StorageError(f"The objects for the workers can't be written to {job.path}: {error}") from error
    return file, len(data), spans


def dump_job(job: Job) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """Return the trainable and its parameters as a pickle, and the large buffers that are left out of it.

    Raises:
        NotPicklableError: one of them can't be sent to another process.
    """
    buffers: list[pickle.PickleBuffer] = []
    content = (job.trainable, job.parameters)
    if not job.parameters and _is_importable(job.trainable):
        return pickle.dumps(content, protocol=5), buffers
    try:
        with ByValue(content):
            return dumps(content, buffers.append), buffers
    except Exception as error:
        name = getattr(job.trainable, "__name__", type(job.trainable).__name__)
        for parameter, value in job.parameters.items():
            if find_culprit(value, "", _dumps) is not None:
                what = f"The parameter {parameter!r} of {name}"
                raise NotPicklableError(_complaint(what, value, f"parameter {parameter!r}", error)) from error
        raise NotPicklableError(_complaint(f"The trainable {name}", job.trainable, name, error)) from error


def _complaint(what: str, value: Any, name: str, error: Exception) -> str:
    where = find_culprit(value, name, _dumps)
    found = f": {where}" if where else ""
    return (
        f"{what} can't be sent to a worker process{found} ({type(error).__name__}: {error}). "
        "Make such an object inside the trainable, or run with executor='inline'."
    )


def _dumps(value: Any) -> None:
    with ByValue(value):
        dumps(value)


# -- which objects go by value


class ByValue:
    """While entered, cloudpickle sends by value what belongs to modules that a new process could not import."""

    def __init__(self, content: Any) -> None:
        self._modules = {m for m in map(_module_of, _surface(content)) if m is not None and not _can_import(m)}

    def __enter__(self) -> None:
        import cloudpickle

        self._modules = {m for m in self._modules if m.__name__ not in cloudpickle.list_registry_pickle_by_value()}
        for module in self._modules:
            cloudpickle.register_pickle_by_value(module)

    def __exit__(self, *_: object) -> None:
        import cloudpickle

        for module in self._modules:
            cloudpickle.unregister_pickle_by_value(module)


def _surface(content: Any) -> Iterator[Any]:
    """Yield the objects whose modules are looked at: the values themselves, and what functions refer to."""
    stack, seen = [content], set[int]()
    while stack and len(seen) < _VISITS_MAX:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, (tuple, list, set)):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, (FunctionType, MethodType, type)):
            yield item
            stack.extend(value for _, value in _inside(item) if not isinstance(value, ModuleType))
        elif getattr(item, "func", None) is not None:
            stack.append(item.func)
        else:
            yield type(item)


def _module_of(item: Any) -> ModuleType | None:
    return sys.modules.get(getattr(item, "__module__", None) or "")


def _can_import(module: ModuleType) -> bool:
    """Whether a fresh process with the same search path finds the module where this one did."""
    from importlib.machinery import PathFinder

    name, origin = module.__name__, getattr(module, "__file__", None)
    if name == "__main__":
        return True  # cloudpickle sends it by value without being told
    if origin is None:  # built in, frozen, or a namespace package
        return name in sys.builtin_module_names or getattr(module, "__path__", None) is not None or "." not in name
    search: Any = None
    parts = name.split(".")
    try:
        for i in range(1, len(parts) + 1):
            spec = PathFinder.find_spec(".".join(parts[:i]), search)
            if spec is None:
                return name.startswith(("importlib", "zipimport")) or not Path(origin).is_file()
            search = spec.submodule_search_locations
    except (ImportError, AttributeError, ValueError):
        return True
    return spec is not None and (spec.origin is None or _same(spec.origin, origin))


def _same(first: str, second: str) -> bool:
    return first == second or Path(first).with_suffix("") == Path(second).with_suffix("")


def _is_importable(trainable: Callable[..., Any]) -> bool:
    """Whether the trainable is a plain name in a module that a fresh process can import, and may."""
    module = _module_of(trainable)
    if module is None or module.__name__ == "__main__" or not isinstance(trainable, (FunctionType, type)):
        return False
    if getattr(module, trainable.__qualname__, None) is not trainable or _is_registered(module.__name__):
        return False
    return _can_import(module)


def _is_registered(name: str) -> bool:
    """Whether cloudpickle has been told to send what is in the module, or in a package around it, by value."""
    cloudpickle = sys.modules.get("cloudpickle")
    registered = cloudpickle.list_registry_pickle_by_value() if cloudpickle else ()
    return any(f"{name}.".startswith(f"{other}.") for other in registered)


# -- finding what can't be sent


def find_culprit(value: Any, name: str, dump: Callable[[Any], None]) -> str | None:
    """Return the way to the innermost object that `dump` refuses, such as ``train -> closure variable 'lock' -> lock``.

    None when `dump` takes `value`.
    """
    if _passes(value, dump):
        return None
    path, seen = [name] if name else [], {id(value)}
    while len(path) < _DEPTH_MAX:
        for label, inner in _inside(value):
            if id(inner) not in seen and not _passes(inner, dump):
                seen.add(id(inner))
                path.append(label)
                value = inner
                break
        else:
            break
    kind = type(value)
    path.append(kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}")
    return " -> ".join(path)


def _passes(value: Any, dump: Callable[[Any], None]) -> bool:
    try:
        dump(value)
    except Exception:  # noqa: BLE001 - any refusal counts
        return False
    return True


def _inside(value: Any) -> Iterator[tuple[str, Any]]:  # noqa: C901, PLR0912 - one branch a kind of object
    """Yield what an object holds, each with a phrase that says where."""
    if isinstance(value, MethodType):
        yield "its object", value.__self__
        value = value.__func__
    if isinstance(value, FunctionType):
        for variable, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
            try:
                yield f"closure variable {variable!r}", cell.cell_contents
            except ValueError:  # not yet bound
                continue
        for variable in _global_names(value):
            if variable in value.__globals__:
                yield f"global {variable!r}", value.__globals__[variable]
        for variable, default in (value.__kwdefaults__ or {}).items():
            yield f"default of {variable!r}", default
        for i, default in enumerate(value.__defaults__ or ()):
            yield f"default number {i + 1}", default
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield f"[{key!r}]", inner
    elif isinstance(value, (list, tuple, set, frozenset)):
        for i, inner in enumerate(value):
            yield f"[{i}]", inner
    elif isinstance(value, type):
        for attribute, inner in vars(value).items():
            if isinstance(inner, (staticmethod, classmethod)):
                inner = inner.__func__  # noqa: PLW2901 - unwrapped
            if attribute not in ("__dict__", "__weakref__"):
                yield f"attribute {attribute!r}", inner
    else:
        for attribute, inner in _attributes(value):
            yield f"attribute {attribute!r}", inner


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(value, "func") and hasattr(value, "args") and hasattr(value, "keywords"):  # functools.partial
        yield "func", value.func
        yield "args", value.args
        yield "keywords", value.keywords
    yield from getattr(value, "__dict__", {}).items()
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, slot):
                yield slot, getattr(value, slot)


def _global_names(function: FunctionType) -> list[str]:
    names: list[str] = []
    stack = [function.__code__]
    while stack:
        code = stack.pop()
        names += [name for name in code.co_names if name not in names]
        stack += [constant for constant in code.co_consts if isinstance(constant, type(code))]
    return names


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind is dict:
        return all(type(k) is str for k in value) and all(map(_is_plain, value.values()))
    if kind is list or kind is tuple:
        return all(map(_is_plain, value))
    return False
