// The page: one websocket, one dream. Everything the server says is in message.py and player.py.

import { Controls } from "./controls.js";
import { Measure } from "./measure.js";
import { Sliders } from "./sliders.js";
import { Strip } from "./strip.js";
import { refusal, token } from "./token.js";
import { TITLES, Views, readFrame } from "./view.js";

const $ = (id) => document.getElementById(id);
const SHORTCUTS = {
  Space: "gripper", KeyP: "run", KeyO: "driver", Backspace: "back", KeyG: "ground", KeyK: "knock", KeyC: "record", KeyN: "reset", KeyT: "follow",
};
const LANES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const SHOWN_TIPS = 8;

let socket, hello, state, views, controls, strip;
let frame = null; // newest, not drawn yet
const measure = new Measure();
// For whoever measures or tests the page.
window.presage = { measure, get strip() { return strip; }, get state() { return state; }, get controls() { return controls; } };

// -- the connection --------------------------------------------------------------------------------------------------

function connect() {
  const session = encodeURIComponent(sessionStorage.getItem("presage-session") ?? "");
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/play?session=${session}&token=${token()}`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => (typeof data === "string" ? hear(JSON.parse(data)) : receive(data));
  socket.onclose = closed;
}

async function closed({ code, reason }) {
  if ([4001, 4029, 1011].includes(code)) {
    notice(`${reason}. Reload the page to go on here.`, true);
    return;
  }
  const refused = await refusal();
  if (refused !== null) { notice(refused, true); return; }
  notice("The connection is lost; trying again. Your dream is kept for some minutes.", true);
  setTimeout(connect, 1000);
}

function send(type, fields = {}) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type, ...fields }));
}

function hear(message) {
  if (message.type === "hello") greet(message);
  else if (message.type === "state") showState(message.state);
  else if (message.type === "error") notice(message.text, true);
  else if (message.type === "saved") saved(message);
}

function receive(data) {
  const next = readFrame(data, hello.size);
  for (const each of next.header.branches) strip.add(each);
  if (frame) measure.skipped++;
  frame = next;
}

// -- drawing ---------------------------------------------------------------------------------------------------------

function tick() {
  requestAnimationFrame(tick);
  const pad = controls.poll();
  if (pad) $("pad-name").textContent = `Gamepad: ${pad.slice(0, 40)}`;
  if (!frame) return;
  const { header } = frame;
  views.draw(frame);
  send("seen", { frame: header.frame });
  measure.shown(header.stamp, header.dropped);
  strip.stand(header.moment);
  drawStrips();
  const success = header.success ? ` · ${byRecording() ? "the recording" : "the simulator"} says success` : header.reached ? " · looks done" : "";
  $("value").textContent = `${(100 * (header.value ?? 0)).toFixed(0)} %${success}`;
  const close = views.closeness();
  $("closeness").textContent = close === null ? "" : close === Infinity ? `dream equals ${TITLES.real}` : `dream to ${TITLES.real} ${close.toFixed(1)} dB`;
  if (header.recorded) $("recorded").textContent = `Recording: ${header.recorded} frames`;
  frame = null;
}

function drawStrips() {
  strip.drawValue($("value-strip"), hello.threshold);
  strip.drawTree($("tree"));
  const slider = $("rewind");
  slider.max = Math.max(0, strip.path.length - 1);
  if (document.activeElement !== slider || state.running) slider.value = strip.at;
  const node = strip.nodes.get(strip.now);
  if (!node) return;
  const tips = strip.tips();
  const seconds = (node.depth / hello.fps).toFixed(1);
  slider.setAttribute("aria-valuetext", `${seconds} seconds`);
  $("branch").textContent = tips.length > 1 ? `branch ${letter(node.lane)}, ${seconds} s` : `${seconds} s`;
  const shown = tips.slice(-SHOWN_TIPS).filter(() => tips.length > 1);
  const wanted = shown.map((tip) => tip.lane).join();
  if ($("tips").dataset.lanes !== wanted) {
    $("tips").dataset.lanes = wanted;
    $("tips").replaceChildren(...shown.map((tip) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = letter(tip.lane);
      button.setAttribute("aria-label", `Go to the end of branch ${letter(tip.lane)}`);
      button.onclick = () => rewind(strip.tips().find((each) => each.lane === tip.lane).number);
      return button;
    }));
  }
  [...$("tips").children].forEach((button, i) => button.setAttribute("aria-pressed", String(shown[i].lane === node.lane)));
}

const letter = (lane) => LANES[lane % LANES.length];

setInterval(() => {
  const rate = measure.rate(), median = measure.latency(0.5), high = measure.latency(0.95);
  $("rate-shown").textContent = rate && state?.running ? rate.toFixed(1) : "–";
  $("latency").textContent = median === null ? "–" : `${median.toFixed(0)} ms, p95 ${high.toFixed(0)}`;
  $("dropped").textContent = measure.dropped + measure.skipped;
}, 500);

function layOut() {
  const kinds = ["imagined"];
  if ($("show-real").checked) kinds.push("real");
  if ($("show-difference").checked) kinds.push("difference");
  if ($("show-spread").checked) kinds.push("spread");
  views.lay(kinds);
}

// -- what is said to the person ----------------------------------------------------------------------------------------

function notice(text, bad = false) {
  $("notice").hidden = false;
  $("notice").className = bad ? "bad" : "";
  $("notice").firstElementChild.textContent = text;
}
$("notice").lastElementChild.onclick = () => { $("notice").hidden = true; };

function saved({ folder, episodes, rows }) {
  $("recorded").textContent = `Saved ${folder}: ${episodes} episode${episodes > 1 ? "s" : ""}, ${rows} frames. presage train --data ${folder} --out runs/played`;
}

function greet(message) {
  const first = !hello;
  hello = message;
  if (byRecording()) TITLES.real = "recorded";
  sessionStorage.setItem("presage-session", hello.session);
  $("notice").hidden = true;
  strip = new Strip(hello.keep);
  views = new Views($("views"), hello.cameras, hello.size);
  layOut();
  if (first) {
    controls = new (byRecording() ? Sliders : Controls)(hello, changed, act);
    controls.listen($(byRecording() ? "sliders" : "pad"), $("views"), SHORTCUTS);
    fillIn();
    requestAnimationFrame(tick);
  } else controls.last = "";
  showState(hello.state);
  if (hello.resumed) notice("Your dream goes on where you left it.");
}

/** What is beside the dream was recorded; else it is simulated. */
const byRecording = () => hello.beside === "recording";

/** What the model and its world offer, once. */
function fillIn() {
  for (const id of ["sliders", "slide-hint", "follow", "start-form"]) $(id).hidden = !byRecording();
  for (const id of ["pad", "hint", "reset-form"]) $(id).hidden = byRecording();
  $("camera").parentElement.hidden = byRecording();
  if (byRecording()) {
    $("beside-name").textContent = "recorded";
    $("ground").title = "The dream looks at the recorded frame";
    $("record-frames").replaceChildren($("record-frames").options[0]);
    $("episode").value = hello.state.episode;
    $("frame").value = hello.state.row;
    $("lead").textContent = "You drive the robot in the model's dream, which began in a recording.";
  }
  const option = (text) => Object.assign(document.createElement("option"), { textContent: text });
  $("task").replaceChildren(...hello.tasks.map(option));
  $("camera").replaceChildren(...hello.cameras.map(option));
  $("gripper").hidden = !hello.gripper;
  const flat = hello.actions - (hello.gripper ? 1 : 0) < 3;
  for (const button of document.querySelectorAll(".lift")) button.hidden = flat;
  for (const kind of hello.disturbances) {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "In the simulator; the dream does not know until it is grounded";
    button.append(`${kind[0].toUpperCase()}${kind.slice(1)} the object`);
    if (kind === "knock") button.append(" ", Object.assign(document.createElement("kbd"), { textContent: "K" }));
    button.onclick = () => send("disturb", { kind });
    $("interfere").append(button);
  }
  $("rate").max = hello.limits.rate;
  $("steps").max = hello.limits.steps;
  $("episode").max = Math.max(0, ...hello.episodes.map(([number]) => number));
  $("about").textContent = `Model ${hello.model}, ${hello.size} × ${hello.size} pixels, ${hello.fps} steps are a second of robot time.`;
}

function showState(next) {
  state = next;
  const set = (id, value) => { if (document.activeElement !== $(id)) $(id).value = value; };
  for (const id of ["task", "scene", "instruction", "steps", "seed", "rate"]) set(id, state[id]);
  $("show-spread").checked = state.spread;
  if (state.spread !== views.canvases.has(`spread ${hello.cameras[0]}`)) layOut();
  press("run", state.running, state.running ? "Pause" : "Run");
  press("driver", state.driver === "policy", state.driver === "policy" ? "Take over" : "Let the policy drive");
  press("follow", state.driver === "recording", "Follow the recording");
  if (state.rest && state.driver !== "person") controls.rest(state.rest);
  press("record", state.recording !== null, state.recording ? "Stop recording" : "Record");
  for (const id of ["record-frames", "record-good"]) $(id).disabled = state.recording !== null;
  for (const button of $("interfere").children) button.disabled = !state.beside;
}

/** A button that is on or off; its first words say what pressing it does. */
function press(id, on, text) {
  $(id).setAttribute("aria-pressed", String(on));
  $(id).firstChild.textContent = `${text} `;
}

// -- what the person does ----------------------------------------------------------------------------------------------

function changed(action, stamp) {
  if (controls.moving && state.driver !== "person") send("drive", { by: "person" });
  measure.changed(stamp);
  send("controls", { action, stamp });
  if (controls.moving && !state.running) { state.running = true; send("run", { on: true }); }
}

function act(name) {
  if (name === "gripper" && hello.gripper) {
    controls.toggleGripper();
    press("gripper", controls.closed, controls.closed ? "Open gripper" : "Close gripper");
    if (!state.running) send("run", { on: true });
  } else if (name === "run") send("run", { on: !state.running });
  else if (name === "driver") {
    const by = state.driver === "policy" ? "person" : "policy";
    send("drive", { by });
    if (by === "policy" && !state.running) send("run", { on: true });
  } else if (name === "follow" && byRecording()) {
    send("drive", { by: "recording" });
    if (!state.running) send("run", { on: true });
  } else if (name === "back") rewind(strip.path[Math.max(0, strip.at - Math.round(hello.fps))]);
  else if (name === "ground") send("ground");
  else if (name === "knock" && hello.disturbances.includes("knock")) send("disturb", { kind: "knock" });
  else if (name === "record") {
    send("record", { on: state.recording === null, frames: $("record-frames").value, good: $("record-good").checked });
  } else if (name === "reset" && byRecording()) {
    send("start", { episode: Number($("episode").value), frame: Number($("frame").value) });
  } else if (name === "reset") send("reset", { task: $("task").value, scene: Number($("scene").value) });
}

function rewind(moment) { if (moment !== undefined) send("rewind", { moment }); }

for (const id of ["run", "driver", "follow", "back", "ground", "record", "gripper"]) $(id).onclick = () => act(id);
// What was clicked or finished gives the keys back to driving; reached by keyboard it keeps them.
addEventListener("click", (event) => { if (event.detail > 0) event.target.closest?.("button, [type=checkbox]")?.blur(); });
addEventListener("pointerup", ({ target }) => { if (target.matches?.("[type=range]")) setTimeout(() => target.blur()); });
addEventListener("change", ({ target }) => { if (target.matches?.("select")) target.blur(); });
addEventListener("keydown", (event) => { if (event.key === "Escape" || (event.key === "Enter" && event.target.closest?.("#settings"))) event.target.blur(); });
addEventListener("resize", () => { if (strip && hello) drawStrips(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (strip && hello) drawStrips(); });
document.addEventListener("visibilitychange", () => { if (document.hidden && state?.running) send("run", { on: false }); });

for (const id of ["show-real", "show-difference"]) $(id).onchange = layOut;
$("rewind").onchange = () => rewind(strip.path[Number($("rewind").value)]);
$("tree").onclick = (event) => {
  const moment = strip.nearest(event.offsetX, event.offsetY, $("tree").clientWidth, $("tree").clientHeight);
  if (moment !== null) rewind(moment);
};
$("camera").onchange = () => { controls.camera = $("camera").value; controls.update(); };
$("episode").onchange = () => { $("frame").max = (new Map(hello.episodes).get(Number($("episode").value)) ?? 1) - 1; };

function settings() {
  const fields = ["steps", "rate", "seed"];
  if (!fields.every((id) => $(id).reportValidity())) return;
  const values = Object.fromEntries(fields.map((id) => [id, Number($(id).value)]));
  send("settings", { ...values, spread: $("show-spread").checked });
}
for (const id of ["steps", "rate", "seed", "show-spread"]) $(id).onchange = settings;

function onSubmit(id, tell) {
  $(id).onsubmit = (event) => {
    event.preventDefault();
    document.activeElement?.blur();
    tell();
  };
}
onSubmit("instruction-form", () => send("instruct", { text: $("instruction").value }));
onSubmit("reset-form", () => act("reset"));
onSubmit("start-form", () => act("reset"));

connect();
