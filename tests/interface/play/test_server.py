"""`presage play` over real sockets: who comes in, what is refused, and that nobody waits for a slow browser."""

import json
import re
import time
import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.players import TASK, Client, arena_server
from tests.servers import get, serving, wait_until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.interface.cli import main
from presage.interface.doorway import read_files
from presage.interface.play.message import FIELDS, MAX_BYTES, read_message
from presage.interface.play.player import IN_FLIGHT


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving(lambda: arena_server(tmp_path_factory.mktemp("played"))) as server:
        yield server


@pytest.fixture(scope="module")
def address(running) -> str:
    return running[1]


@pytest.fixture()
def client(address):
    client = Client(address)
    yield client
    client.close()


# -- the page, and who may come in ------------------------------------------------------------------------------------


def refusal(address: str, path: str = "/", **headers: str) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as error:
        get(address, path, headers)
    return error.value.code, error.value.read().decode().strip()


def test_the_page_is_plain_files_of_its_own(address) -> None:
    with urllib.request.urlopen(f"http://{address}/") as response:
        page, headers = response.read().decode(), response.headers
    assert page.startswith("<!doctype html>") and headers["Content-Type"] == "text/html; charset=utf-8"
    assert f"connect-src 'self' ws://{address}" in headers["Content-Security-Policy"]
    assert {"/", "/play.js", "/style.css"} <= set(read_files("presage.interface.play"))
    for name, (body, _) in read_files("presage.interface.play").items():
        assert set(re.findall(rb"https?://[a-z0-9.]+", body)) <= {b"http://www.w3.org"}, (
            name
        )  # the name of SVG, never asked
    assert get(address, "/healthz") == "OK\n"
    assert refusal(address, "/etc/passwd")[0] == 404 and refusal(address, "/../server.py")[0] == 404


def test_other_origins_and_other_names_are_refused(address) -> None:
    port = address.rpartition(":")[2]
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}):
        assert refusal(address, "/ready", **headers) == (403, "a page of another origin may not talk to this server")
    assert refusal(address, Host=f"evil.example:{port}")[0] == 403
    assert refusal(address, Host="127.0.0.1@evil.example")[0] == 403
    assert get(address, "/ready", {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}) == "OK\n"
    with pytest.raises(InvalidStatus) as error:
        connect(f"ws://{address}/play", origin="http://evil.example").__enter__()
    assert error.value.response.status_code == 403


def test_a_token_is_asked_for(tmp_path) -> None:
    with serving(lambda: arena_server(tmp_path, token="s3cret")) as (_, address):
        assert get(address, "/").startswith("<!doctype html>")  # the page says what is missing
        for path in ("/ready", "/ready?token=", "/ready?token=s3cre", "/ready?token=s3cret0", "/play?token=%ff"):
            assert refusal(address, path)[0] == 401, path
        assert get(address, "/ready?token=s3cret") == "OK\n"
        with connect(f"ws://{address}/play?token=s3cret") as connection:
            assert json.loads(connection.recv(10))["type"] == "hello"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "lets other machines in"),
        (["--task", "drawer-opn"], "did you mean drawer-open-v3"),
        (["--use", "guess"], "no use 'guess': this model acts by 'joint'"),
        (["--port", "70000"], "--port 70000"),
        (["--players", "0"], "--players 0"),
        (["--token-file", "/nowhere"], "--token-file /nowhere: there is nothing"),
        (["--data", "/nowhere"], "/nowhere"),
        (["--task", "fetch-push"], "another robot than task 'fetch-push' moves: 'sawyer', not 'fetch'"),
    ],
)
def test_bad_options_are_one_line(arguments, message, capsys, monkeypatch) -> None:
    monkeypatch.delenv("PRESAGE_API_KEY", raising=False)
    assert main(["play", *arguments]) == 2
    assert message in capsys.readouterr().err


# -- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("", "not JSON"),
        ("[" * 5000, "not JSON"),
        ("[1]", "whose type is one of"),
        ('{"type": "shutdown"}', "whose type is one of"),
        ('{"type": ["run"]}', "whose type is one of"),
        ('{"type": "run"}', "run.on must be true or false"),
        (
            '{"type": "controls", "action": [0, 2], "stamp": 0}',
            "controls.action must be a list of numbers from -1 to 1",
        ),
        ('{"type": "controls", "action": [0, NaN], "stamp": 0}', "controls.action must be"),
        ('{"type": "controls", "action": [0, 0, 0], "stamp": 0}', "controls.action has 3 numbers: this robot takes 2"),
        ('{"type": "rewind", "moment": 1e3}', "rewind.moment must be a whole number"),
        ('{"type": "rewind", "moment": 99999}', "moment 99999 is not kept"),
        ('{"type": "settings", "steps": 1, "rate": 1e9, "seed": 0, "spread": true}', "settings.rate must be"),
        ('{"type": "reset", "task": "../../etc", "scene": 0}', "is not played here"),
        ('{"type": "start", "episode": 0, "frame": 0}', "--data"),
        ('{"type": "drive", "by": "recording"}', "there is no recording to follow"),
        ('{"type": "drive", "by": "chance"}', "drive.by must be one of person, policy, recording"),
        ('{"type": "disturb", "kind": "__init__"}', "unknown disturbance"),
        ('{"type": "instruct", "text": " "}', "instruct.text must be"),
        (b"\x80\x04K\x01.", "a binary message"),
    ],
)
def test_a_bad_message_is_one_line_and_the_dream_goes_on(client, message, text) -> None:
    client.socket.send(message)
    answer = client.text("error")["text"]
    assert text in answer and "\n" not in answer
    client.say("run", on=True)
    assert client.until(1)[0]["depth"] >= 1


def test_a_message_that_is_too_long_ends_the_connection_alone(client, address) -> None:
    client.socket.send("x" * (MAX_BYTES + 1))
    with pytest.raises(ConnectionClosed):
        client.text("error")
    assert get(address, "/healthz") == "OK\n"


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=5), scalars, max_size=3)


@given(st.sampled_from(sorted(FIELDS)), st.data())
def test_whatever_is_sent_is_read_or_refused(kind, data) -> None:
    fields = {name: data.draw(anything) for name in FIELDS[kind]}
    try:
        found, values = read_message(json.dumps({"type": kind, **fields}))
    except UserError as error:
        assert str(error)
    else:
        assert found == kind and set(values) == set(FIELDS[kind])


# -- players ----------------------------------------------------------------------------------------------------------


def test_a_player_drives(client) -> None:
    assert client.hello["actions"] == 2 and client.hello["state"]["task"] == TASK and not client.hello["resumed"]
    first, pixels = client.frame()
    assert first["depth"] == 0 and [plane[0] for plane in first["planes"]] == ["imagined", "real"]
    assert (pixels[: 32 * 32 * 3] == pixels[32 * 32 * 3 :]).all()
    client.say("settings", steps=1, rate=20, seed=0, spread=True)
    client.say("controls", action=[1, 0.5], stamp=7.5)
    client.say("run", on=True)
    header, later = client.until(3)
    assert header["stamp"] == 7.5 and header["driver"] == "person" and (later != pixels[: len(later)][0]).any()
    assert header["planes"][-1] == ["spread", "top", 1]
    client.say("drive", by="policy")
    assert client.text("state")["state"]["driver"] == "policy"
    depth = client.frame()[0]["depth"]
    assert client.until(depth + 3)[0]["driver"] == "policy"
    client.say("rewind", moment=1)
    assert not client.text("state")["state"]["running"]
    client.say("run", on=True)
    header, _ = client.until(2)
    assert header["depth"] <= 3


def test_a_change_of_the_controls_is_answered_at_once(client) -> None:
    client.say("settings", steps=1, rate=1, seed=0, spread=False)
    client.say("run", on=True)
    client.until(1)
    for stamp in range(1, 4):
        start = time.perf_counter()
        client.say("controls", action=[stamp % 2, 0], stamp=stamp)
        while client.frame()[0]["stamp"] < stamp:
            pass
        assert time.perf_counter() - start < 0.9  # a tick takes a second


def test_a_slow_browser_misses_frames_and_delays_nothing(address) -> None:
    client = Client(address, lazy=True)
    client.say("settings", steps=1, rate=20, seed=0, spread=False)
    client.say("run", on=True)
    headers = [client.frame()[0] for _ in range(IN_FLIGHT)]
    time.sleep(1.0)
    client.say("seen", frame=headers[-1]["frame"])
    header, _ = client.frame()
    assert header["dropped"] > 2 and header["depth"] >= headers[-1]["depth"] + header["dropped"]
    # The tree has no holes for it.
    assert {moment[0] for moment in header["branches"]} >= set(range(headers[-1]["moment"] + 1, header["moment"] + 1))
    client.close()


def test_a_reload_goes_on_with_the_same_dream(address) -> None:
    client = Client(address)
    client.say("run", on=True)
    client.until(2)
    client.say("run", on=False)
    client.text("state")
    key = client.hello["session"]
    client.close()
    again = Client(address, key)
    header, _ = again.frame()
    assert again.hello["resumed"] and again.hello["session"] == key and header["depth"] >= 2
    assert len(header["branches"]) == header["depth"] + 1
    other = Client(address, key)  # the same dream in another tab: the first one is told
    with pytest.raises(ConnectionClosed) as error:
        again.text("state")
    assert error.value.rcvd is not None and error.value.rcvd.code == 4001
    other.close()


def test_more_players_than_there_is_room_for_are_turned_away(tmp_path) -> None:
    with serving(lambda: arena_server(tmp_path, keep=0.5)) as (server, address):
        clients = [Client(address), Client(address)]
        assert len({client.hello["session"] for client in clients}) == 2
        with pytest.raises(ConnectionClosed) as error:
            Client(address)
        assert error.value.rcvd is not None and error.value.rcvd.code == 4029
        assert error.value.rcvd.reason == "2 people are playing already: come back when one has left"
        clients[0].close()
        wait_until(lambda: any(player.connection is None for player in server.players.values()))
        fresh = Client(address)  # takes the place of the one who left
        assert not fresh.hello["resumed"]
        clients[1].close()
        fresh.close()
        wait_until(lambda: all(player.connection is None for player in server.players.values()))
        time.sleep(0.6)
        old = Client(address, fresh.hello["session"])  # was kept for half a second
        assert not old.hello["resumed"] and len(server.players) == 1
        old.close()


def test_nothing_is_recorded_in_a_scene_of_evaluation(client) -> None:
    client.say("reset", task=TASK, scene=599_999)
    client.text("state")
    for frames in ("imagined", "real"):
        client.say("record", on=True, frames=frames, good=True)
        assert client.text("error")["text"] == "scene 599999 is kept for evaluation: record in scenes from 600000 on"
    client.say("settings", steps=1, rate=5, seed=0, spread=False)
    assert client.text("state")["state"]["recording"] is None


def test_recordings_are_written_when_stopped_and_when_the_server_stops(tmp_path) -> None:
    with serving(lambda: arena_server(tmp_path / "played")) as (server, address):
        client = Client(address)
        client.say("settings", steps=1, rate=20, seed=0, spread=False)
        client.text("state")
        client.say("record", on=True, frames="imagined", good=True)
        assert client.text("state")["state"]["recording"] == {"frames": "imagined", "rows": 1}
        client.say("run", on=True)
        client.until(4)
        client.say("reset", task=TASK, scene=9)  # evaluation's: the recording goes on where it was
        assert "scene 9 is kept for evaluation" in client.text("error")["text"]
        client.say("reset", task=TASK, scene=600_009)
        client.text("state")
        client.until(3)
        client.say("record", on=False, frames="imagined", good=True)
        saved = client.text("saved")
        assert saved["episodes"] == 2
        dataset = Dataset(tmp_path / "played" / "0001")
        assert [episode.info["seed"] for episode in dataset.episodes] == [600_000, 600_009]
        assert dataset.num_rows == saved["rows"]
        client.say("record", on=True, frames="real", good=True)
        depth = client.frame()[0]["depth"]
        client.until(depth + 3)
    assert Dataset(tmp_path / "played" / "0002").episodes[0].info["frames"] == "real"
    assert server.studio.recordings == 2
