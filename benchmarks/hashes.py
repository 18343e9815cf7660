"""Measures what it costs to seal a checkpoint and to read it through before it is loaded.

    python benchmarks/hashes.py [--mib 256] [--folder DIRECTORY]

Prints the bytes a second of the standard library's hashes, of writing a checkpoint (copied, hashed, synced) and of
verifying it (read, hashed; from the page cache), and the time of a checkpoint of one byte. `--folder` is on the disk
to be measured.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tunesmith.worker.checkpoint import CheckpointShelf, Sheet

HASHES = ("sha256", "blake2b", "blake2s", "sha512", "sha1", "md5")
CHUNK = 1 << 20


def seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """Return the shortest time of some rounds."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def hashed(name: str, data: memoryview) -> str:
    """Hash `data` in pieces, as a file is read."""
    digest = hashlib.new(name)
    for at in range(0, len(data), CHUNK):
        digest.update(data[at : at + CHUNK])
    return digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--folder")
    given = parser.parse_args()
    size = given.mib << 20
    data = memoryview(bytes(range(256)) * (size // 256))
    rows = {name: size / seconds(lambda name=name: hashed(name, data)) for name in HASHES}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        shelf, source, small = CheckpointShelf(folder, "trial", 1), Path(folder, "source"), Path(folder, "small")
        for place, content in ((source, data), (small, data[:1])):
            place.mkdir()
            (place / "weights").write_bytes(content)
        sheet = Sheet(1, 0.0)
        reference = shelf.keep_copy(str(source), sheet)
        rows["verify"] = size / seconds(lambda: shelf.verify(reference))
        rows["write"] = size / seconds(lambda: shelf.keep_copy(str(source), sheet))
        rounds = 20
        tiny = seconds(lambda: [shelf.keep_copy(str(small), sheet) for _ in range(rounds)]) / rounds
        tiny_read = shelf.keep_copy(str(small), sheet)
        tiny_verify = seconds(lambda: [shelf.verify(tiny_read) for _ in range(rounds)]) / rounds
    for name, rate in rows.items():
        print(f"{name:>8}: {rate / 1e9:.2f} GB/s")
    print(f"a checkpoint of one byte: {tiny * 1e3:.2f} ms to write, {tiny_verify * 1e3:.2f} ms to verify")


if __name__ == "__main__":
    main()
