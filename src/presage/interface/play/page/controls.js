// What the person holds, from keys, buttons on the page, a drag in a picture or a gamepad, as one action.

const KEYS = {
  ArrowUp: "up", KeyW: "up", ArrowDown: "down", KeyS: "down", ArrowLeft: "left", KeyA: "left", ArrowRight: "right",
  KeyD: "right", KeyE: "rise", KeyR: "rise", KeyQ: "sink", KeyF: "sink",
};
const GENTLE = 0.3;
const DRAG = 0.35; // of a picture's width is full speed
const DEAD = 0.15; // sticks never rest at zero

const clamp = (x) => Math.max(-1, Math.min(1, x));

export class Controls {
  /**
   * robot: {actions, gripper, steering}. changed(action, stamp) hears every change; shortcut(name) a key, or a gamepad's
   * button, that is no motion.
   */
  constructor(robot, changed, shortcut) {
    this.robot = robot;
    this.changed = changed;
    this.shortcut = shortcut;
    this.held = new Map(); // where from -> direction
    this.drag = null; // {camera, right, up}
    this.pad = { right: 0, up: 0, rise: 0 };
    this.buttons = [];
    this.gentle = false;
    this.closed = false;
    this.camera = Object.keys(robot.steering)[0];
    this.last = "";
  }

  listen(pad, views, shortcuts) {
    addEventListener("keydown", (event) => this.key(event, true, shortcuts));
    addEventListener("keyup", (event) => this.key(event, false, shortcuts));
    addEventListener("blur", () => this.release());
    for (const button of pad.querySelectorAll("[data-hold]")) {
      const from = `button ${button.dataset.hold}`;
      const end = () => { button.classList.remove("held"); this.hold(from, null); };
      button.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        button.setPointerCapture(event.pointerId);
        button.classList.add("held");
        this.hold(from, button.dataset.hold);
      });
      for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(name, end);
      // Reached by keyboard, a button is held while Enter or space is.
      button.addEventListener("keydown", (event) => {
        if (event.code === "Enter" || event.code === "Space") { event.preventDefault(); this.hold(from, button.dataset.hold); }
      });
      button.addEventListener("keyup", end);
      button.addEventListener("contextmenu", (event) => event.preventDefault());
    }
    let origin = null;
    views.addEventListener("pointerdown", (event) => {
      if (event.target.tagName !== "CANVAS") return;
      event.target.setPointerCapture(event.pointerId);
      origin = { x: event.clientX, y: event.clientY };
    });
    views.addEventListener("pointermove", (event) => {
      if (!origin) return;
      const reach = DRAG * event.target.clientWidth;
      const right = clamp((event.clientX - origin.x) / reach), up = clamp((origin.y - event.clientY) / reach);
      this.drag = { camera: event.target.dataset.camera, right, up };
      this.update();
    });
    for (const name of ["pointerup", "pointercancel"]) {
      views.addEventListener(name, () => { origin = null; this.drag = null; this.update(); });
    }
  }

  key(event, down, shortcuts) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (down && isNative(event)) return;
    this.gentle = event.shiftKey;
    const direction = KEYS[event.code];
    if (direction) {
      if (down) event.preventDefault(); // arrows would scroll
      this.hold(event.code, down ? direction : null, event.timeStamp);
    } else if (down && !event.repeat && shortcuts[event.code]) {
      event.preventDefault();
      this.shortcut(shortcuts[event.code]);
    } else this.update();
  }

  hold(from, direction, stamp) {
    if (direction) this.held.set(from, direction);
    else this.held.delete(from);
    this.update(stamp);
  }

  release() {
    this.held.clear();
    this.drag = null;
    this.update();
  }

  toggleGripper() {
    this.closed = !this.closed;
    this.update();
  }

  /** Ask the first gamepad; called once a drawn frame, because gamepads have no events. */
  poll() {
    const pad = navigator.getGamepads?.().find((each) => each);
    if (!pad) return null;
    const axis = (i) => (Math.abs(pad.axes[i] ?? 0) < DEAD ? 0 : pad.axes[i]);
    this.pad = { right: axis(0), up: -axis(1), rise: -axis(3) };
    const pressed = pad.buttons.map((button) => button.pressed);
    const names = { 0: "gripper", 1: "back", 3: "driver", 9: "run" };
    for (const [i, name] of Object.entries(names)) if (pressed[i] && !this.buttons[i]) this.shortcut(name);
    this.buttons = pressed;
    this.update();
    return pad.id;
  }

  action() {
    const on = (name) => ([...this.held.values()].includes(name) ? 1 : 0);
    const speed = this.gentle ? GENTLE : 1;
    const right = clamp(speed * (on("right") - on("left")) + (this.drag?.right ?? 0) + this.pad.right);
    const up = clamp(speed * (on("up") - on("down")) + (this.drag?.up ?? 0) + this.pad.up);
    const rise = clamp(speed * (on("rise") - on("sink")) + this.pad.rise);
    const [east, north] = this.robot.steering[this.drag?.camera ?? this.camera];
    const out = new Array(this.robot.actions).fill(0);
    const moves = this.robot.actions - (this.robot.gripper ? 1 : 0);
    for (let i = 0; i < Math.min(2, moves); i++) out[i] = right * east[i] + up * north[i];
    const largest = Math.max(1, Math.abs(out[0]), Math.abs(out[1] ?? 0)); // diagonals keep their direction
    for (let i = 0; i < Math.min(2, moves); i++) out[i] /= largest;
    if (moves > 2) out[2] = rise;
    if (this.robot.gripper) out[this.robot.actions - 1] = this.closed ? this.robot.close : -this.robot.close;
    return out.map((x) => Math.round(100 * x) / 100);
  }

  /** Whether anything is held. */
  get moving() {
    const action = this.action();
    return action.slice(0, this.robot.gripper ? -1 : undefined).some((x) => x !== 0);
  }

  /** Tell of a change; `stamp` is when it happened, on the clock of performance.now(). */
  update(stamp = performance.now()) {
    const action = this.action();
    const text = JSON.stringify(action);
    if (text === this.last) return;
    this.last = text;
    this.changed(action, stamp);
  }
}

/** Whether a key belongs to what has the focus: all of them to a field, those that press it to a button. */
export function isNative({ target, code }) {
  if (!target.matches?.("input, select, button")) return false;
  return !(target.matches("button, [type=checkbox]") && code !== "Space" && code !== "Enter");
}
