// The page: one websocket, one question at a time. What is said is in server.py.

import { refusal, token } from "./token.js";

const $ = (id) => document.getElementById(id);
const KEYS = { Digit1: "success", Numpad1: "success", Digit0: "failure", Numpad0: "failure", Space: "skip", Backspace: "back" };
const ANSWERS = { success: true, failure: false, skip: null };
const LONGEST = 8; // seconds that a clip takes; a longer episode is shown faster
const FASTEST = 8;

let socket, question = null, shown = "";
// For whoever tests the page.
window.presage = { get question() { return question; } };

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/label?token=${token()}`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => (typeof data === "string" ? hear(JSON.parse(data)) : play(data));
  socket.onclose = closed;
}

async function closed({ code, reason }) {
  question = null;
  if ([4001, 1011].includes(code)) { notice(`${reason}. Reload the page to go on here.`); return; }
  const refused = await refusal();
  if (refused !== null) { notice(refused); return; }
  notice("The connection is lost; trying again. Your answers are kept.");
  setTimeout(connect, 1000);
}

function hear(message) {
  if (message.type === "error") notice(message.text);
  else if (message.type === "show") ask(message);
}

function ask(message) {
  question = message;
  const { asked, answered, successes, failures, skipped } = message;
  const counts = `${successes} successes, ${failures} failures, ${skipped} skipped`;
  $("progress").textContent = `${answered} of ${asked}: ${counts}`;
  $("bar").max = asked;
  $("bar").value = answered;
  $("question").hidden = message.episode === null;
  $("done").hidden = message.episode !== null;
  $("total").textContent = counts;
  $("file").textContent = message.file;
  if (message.episode === null) { $("clip").removeAttribute("src"); return; }
  $("instruction").textContent = message.instruction ? `“${message.instruction}”` : "";
  const before = message.said;
  const words = before === null ? "" : before.success === null ? "not sure" : before.success ? "success" : "failure";
  $("said").textContent = words ? `Your answer so far: ${words}.` : "";
  for (const [id, value] of Object.entries(ANSWERS)) {
    $(id).setAttribute("aria-pressed", String(before !== null && before.success === value));
  }
  if (message.damaged) notice(`This episode cannot be shown, skip it: ${message.damaged}`);
  const speed = Math.min(FASTEST, Math.max(1, message.seconds / LONGEST));
  $("clip").playbackRate = $("clip").defaultPlaybackRate = speed;
  const faster = speed > 1 ? `, shown ${speed.toFixed(1)} times as fast` : "";
  $("which").textContent = `Episode ${message.episode}, ${message.seconds.toFixed(1)} s${faster}.`;
}

function play(bytes) {
  URL.revokeObjectURL(shown);
  shown = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
  $("clip").src = shown;
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

function act(name) {
  if (question === null || socket.readyState !== WebSocket.OPEN) return;
  notice("");
  const { episode } = question;
  if (name === "back") socket.send(JSON.stringify({ type: "back" }));
  else if (episode !== null) socket.send(JSON.stringify({ type: "answer", episode, success: ANSWERS[name] }));
  else return;
  question = null; // until the next one is shown: a key pressed twice answers once
}

addEventListener("keydown", (event) => {
  const name = KEYS[event.code];
  if (!name || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act(name);
});
for (const name of ["success", "failure", "skip", "back"]) $(name).onclick = () => act(name);
$("again").onclick = () => act("back");

connect();
