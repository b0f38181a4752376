"""Datasets of the hub: names, and fetching the files of the wanted episodes from a server that speaks the hub's
protocol.

The server answers the five requests that huggingface_hub makes (repository, tree, and the head and body of files). What
a
test cannot show here: authentication, redirects to large-file storage and the real hub's limits.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from presage.episodes.hub import Repository, hub_name
from presage.errors import UserError

SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """A hub with one dataset, team/arm. `served` lists the files whose contents were asked for."""

    def __init__(self, root: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.served = root, list[str]()


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.split("?")[0]
        files = sorted(str(p.relative_to(self.server.root)) for p in self.server.root.rglob("*") if p.is_file())
        if not path.startswith(("/api/datasets/team/arm", "/datasets/team/arm/resolve/")):
            return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
        if path.startswith("/api/datasets/team/arm/tree/"):
            tree = [
                {"type": "file", "path": f, "oid": "0" * 40, "size": (self.server.root / f).stat().st_size}
                for f in files
            ]
            return self.send(200, json.dumps(tree).encode(), {}, body)
        if path.startswith("/api/"):
            info = {"id": "team/arm", "sha": SHA, "siblings": [{"rfilename": f} for f in files], "private": False}
            return self.send(200, json.dumps(info | {"gated": False, "disabled": False, "tags": []}).encode(), {}, body)
        name = path.removeprefix("/datasets/team/arm/resolve/").split("/", 1)[1]
        data = (self.server.root / name).read_bytes()
        if body:
            self.server.served.append(name)
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": SHA}
        self.send(200, data, headers, body)

    def send(self, status: int, data: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(data)), "Content-Type": "application/json"} | headers).items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Nothing on the screen."""


@pytest.fixture
def hub(old_root: Path) -> Iterator[Hub]:
    """Four episodes in files of their own."""
    server = Hub(old_root)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def fetch(endpoint: str, cache: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code against a hub in a process of its own: huggingface_hub reads its settings once."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | settings)


OPEN = """
from pathlib import Path
from presage.episodes.labels import beside
from presage.training.data import open_dataset
data = open_dataset(Path({source!r}), {episodes})
print(beside(data.root))
print(len(data.episodes), data.num_rows, data.column("action").shape, next(data.iterate_frames([0], "front")).shape)
"""


def test_only_the_files_of_the_wanted_episodes_are_fetched(hub: Hub, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    done = fetch(endpoint, tmp_path / "cache", OPEN.format(source="hf://team/arm", episodes="[1]"))
    shown = ["data/team--arm.labels.json", "1 5 (5, 16) (5, 16, 16, 3)"]  # labels are of no commit
    assert done.stdout.splitlines()[-2:] == shown, done.stderr
    fetched = {name for name in hub.served if not name.startswith("meta/")}
    assert {Path(name).stem for name in fetched} == {"episode_000001"} and len(fetched) == 3
    hub.served.clear()
    again = fetch(endpoint, tmp_path / "cache", OPEN.format(source="team/arm", episodes="None"))
    assert again.stdout.splitlines()[-1].startswith("4 22 "), again.stderr
    assert not any("000001" in name or name.startswith("meta/") for name in hub.served)  # nothing twice


def test_no_network_and_no_such_dataset_are_one_line(hub: Hub, tmp_path: Path) -> None:
    command = (
        "import sys; from presage.interface.cli import main; sys.exit(main(['train', '--data', {!r}, '--out', 'x']))"
    )
    missing = fetch(f"http://127.0.0.1:{hub.server_port}", tmp_path / "cache", command.format("team/leg"))
    offline = fetch("http://127.0.0.1:9", tmp_path / "other", command.format("hf://team/arm"))
    for done, says in ((missing, "no such dataset on the hub"), (offline, "the hub cannot be reached")):
        assert done.returncode == 2 and says in done.stderr.splitlines()[-1], done.stderr
        assert done.stderr.count("presage: error:") == 1


def test_names() -> None:
    assert hub_name("team/arm") == Repository("team/arm")
    assert hub_name(Path("hf://team/arm@v3.0")) == Repository("team/arm", "v3.0")
    for folder in ("data", "/data/arm", "./data/arm", "a/b/c"):
        assert hub_name(folder) is None
    with pytest.raises(UserError, match="write hf://user/name"):
        hub_name("hf://arm")
