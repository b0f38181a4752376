// What is shown of speed: frames drawn a second, time from a change of the controls to the frame that shows it, drops.

const WINDOW = 2000; // ms over which frames are counted
const REMEMBERED = 2000; // latencies kept

export class Measure {
  constructor() {
    this.drawn = []; // times of late
    this.waiting = []; // stamps of changes that no drawn frame has heeded yet
    this.latencies = [];
    this.heard = 0; // changes that were shown, in all
    this.frames = 0;
    this.skipped = 0; // arrived, but a newer one was there before the screen was drawn
    this.dropped = 0; // never sent, because this browser was behind
  }

  changed(stamp) { this.waiting.push(stamp); if (this.waiting.length > 100) this.waiting.shift(); }

  /** A frame is on the screen; `stamp` is of the newest change it heeds. */
  shown(stamp, dropped) {
    const now = performance.now();
    this.frames++;
    this.dropped = dropped;
    this.drawn.push(now);
    while (this.waiting.length && this.waiting[0] <= stamp) {
      this.latencies.push(now - this.waiting.shift());
      this.heard++;
    }
    if (this.latencies.length > REMEMBERED) this.latencies.splice(0, this.latencies.length - REMEMBERED);
  }

  rate() {
    const now = performance.now();
    while (this.drawn.length && this.drawn[0] < now - WINDOW) this.drawn.shift();
    return this.drawn.length < 2 ? 0 : (1000 * (this.drawn.length - 1)) / (this.drawn.at(-1) - this.drawn[0]);
  }

  /** Quantile of the last hundred latencies, in ms; null before there is one. */
  latency(share) {
    const sorted = this.latencies.slice(-100).sort((a, b) => a - b);
    return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : null;
  }
}
