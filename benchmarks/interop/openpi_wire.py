"""presage beside openpi's own client: are the bytes equal, and does an unchanged openpi client drive `presage serve`?

    python benchmarks/interop/openpi_wire.py                    # in presage's environment; needs a package index
    python benchmarks/interop/openpi_wire.py --golden FILE      # also write the bytes that the tests keep

openpi-client 0.1.2 wants numpy 1, so it gets a virtual environment of its own, and this file runs in it once more with
`--inside`. Not part of the tests: those hold the bytes it wrote (tests/serving/openpi_client_0_1_2.json).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
OPENPI = ["openpi-client==0.1.2", "typing_extensions"]  # which it imports without declaring it
sys.path.insert(0, str(ROOT / "tests" / "policy"))

from wire_samples import refused, samples  # noqa: E402


def inside(theirs: Path, ours: Path, url: str) -> None:
    """In openpi-client's environment: write its bytes, read ours, drive the server."""
    from openpi_client import msgpack_numpy, websocket_client_policy

    for name, message in samples().items():
        (theirs / f"{name}.msgpack").write_bytes(msgpack_numpy.packb(message))
        if name != "scalar-time":  # openpi-client cannot read its own: the unit is lost
            assert same(msgpack_numpy.unpackb((ours / f"{name}.msgpack").read_bytes()), message), name
    for name, message in refused().items():
        try:
            msgpack_numpy.packb(message)
        except ValueError:
            continue
        raise AssertionError(f"openpi-client sends {name}")
    policy = websocket_client_policy.WebsocketClientPolicy(url)
    metadata = policy.get_server_metadata()
    rng = np.random.default_rng(0)
    size = metadata["image_size"]
    for i in range(5):
        cameras = {
            f"observation/image.{c}": rng.integers(0, 256, (size, size, 3), np.uint8) for c in metadata["cameras"]
        }
        state = np.zeros(metadata["state_dim"], np.float32)
        answer = policy.infer({**cameras, "observation/state": state, "prompt": "open the drawer", "sequence": i})
        assert answer["actions"].shape == (metadata["chunk"], metadata["action_dim"]) and answer["sequence"] == i
    try:
        policy.infer({"prompt": "open the drawer"})
    except RuntimeError as error:
        assert "image." in str(error)
    else:
        raise AssertionError("a request without images was answered")
    print(f"openpi-client drove {metadata['server']} for 5 requests and was told what the sixth lacked")


def outside(golden: Path | None) -> None:
    from presage.serving.wire import pack, unpack

    with tempfile.TemporaryDirectory() as scratch:
        ours, theirs, venv = (Path(scratch) / name for name in ("ours", "theirs", "venv"))
        ours.mkdir()
        theirs.mkdir()
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "-q", "--disable-pip-version-check", *OPENPI], check=True)
        for name, message in samples().items():
            (ours / f"{name}.msgpack").write_bytes(pack(message))
        serve = [sys.executable, "-m", "presage.interface.cli", "serve", "--port", "0"]
        server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = next(word for line in server.stdout for word in line.split() if word.startswith("ws://"))
            subprocess.run([venv / "bin/python", __file__, "--inside", theirs, ours, url], check=True)
        finally:
            server.terminate()
            server.wait()
        kept = {}
        for name, message in samples().items():
            data = (theirs / f"{name}.msgpack").read_bytes()
            assert data == pack(message), f"{name}: the bytes differ"
            assert same(unpack(data), message), f"{name}: read differently"
            kept[name] = data.hex()
        if golden is not None:
            golden.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps({"messages": len(samples()), "bytes_equal": True, "server_exit_code": server.returncode}))


def same(read: object, sent: object) -> bool:
    """Equal values; equal dtypes where msgpack itself has no such type."""
    if isinstance(sent, dict):
        return isinstance(read, dict) and sent.keys() == read.keys() and all(same(read[k], sent[k]) for k in sent)
    if isinstance(sent, np.ndarray):
        return isinstance(read, np.ndarray) and read.dtype == sent.dtype and np.array_equal(read, sent)
    return bool(read == sent)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--golden", type=Path)
    arguments = parser.parse_args()
    if arguments.inside:
        inside(Path(arguments.inside[0]), Path(arguments.inside[1]), arguments.inside[2])
    else:
        outside(arguments.golden)
