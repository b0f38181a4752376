// A robot of which nothing but recordings is known: one slider for each number of its action. It offers what Controls do.

import { isNative } from "./controls.js";

export class Sliders {
  /**
   * robot: {sliders: [name, low, high] of each number; without a name it has none}. changed(action, stamp) hears every
   * change; shortcut(name) a key.
   */
  constructor(robot, changed, shortcut) {
    this.robot = robot;
    this.changed = changed;
    this.shortcut = shortcut;
    this.values = robot.sliders.map(() => 0);
    this.held = false; // by a person, since the recording or the policy drove
    this.last = "";
    this.inputs = [];
  }

  listen(root, views, shortcuts) {
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || isNative(event)) return;
      if (!shortcuts[event.code]) return;
      event.preventDefault();
      this.shortcut(shortcuts[event.code]);
    });
    root.replaceChildren(...this.robot.sliders.map(([name], i) => (name ? this.slider(name, i) : null)).filter(Boolean));
  }

  slider(name, i) {
    const label = document.createElement("label"), text = document.createElement("span");
    const input = document.createElement("input"), output = document.createElement("output");
    text.textContent = name;
    Object.assign(input, { type: "range", min: -1, max: 1, step: 0.01, value: 0 });
    input.oninput = () => {
      this.held = true;
      this.values[i] = Number(input.value);
      this.update();
    };
    label.append(text, input, output);
    this.inputs[i] = { input, output };
    this.show(i);
    return label;
  }

  /** Stand where the recorded action is, until a person moves a slider. */
  rest(values) {
    this.held = false;
    this.values = [...values];
    this.last = JSON.stringify(this.action());
    this.inputs.forEach((_, i) => this.show(i));
  }

  show(i) {
    const [, low, high] = this.robot.sliders[i];
    const { input, output } = this.inputs[i];
    input.value = this.values[i];
    output.textContent = (low + ((this.values[i] + 1) / 2) * (high - low)).toPrecision(3);
  }

  action() { return this.values.map((x) => Math.round(100 * x) / 100); }

  get moving() { return this.held; }

  poll() { return null; }

  update(stamp = performance.now()) {
    const action = this.action();
    this.inputs.forEach((_, i) => this.show(i));
    const text = JSON.stringify(action);
    if (text === this.last) return;
    this.last = text;
    this.changed(action, stamp);
  }
}
