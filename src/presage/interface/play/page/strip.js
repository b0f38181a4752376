// The value over time, and the tree of branches: every moment that can be returned to.

export class Strip {
  constructor(keep) {
    this.keep = keep;
    this.nodes = new Map(); // number -> {number, parent, depth, value, lane, continued}
    this.lanes = 1;
    this.path = []; // numbers, from the oldest kept to the end of the present branch
    this.at = -1; // index in path
  }

  get now() { return this.path[this.at]; }

  add([number, parent, depth, value]) {
    if (parent === null) { this.nodes.clear(); this.lanes = 0; this.path = []; this.at = -1; }
    if (this.nodes.has(number)) return;
    const from = this.nodes.get(parent);
    const lane = from && !from.continued ? from.lane : this.lanes++;
    if (from) from.continued = true;
    this.nodes.set(number, { number, parent, depth, value, lane });
    for (const old of this.nodes.keys()) {
      if (old > number - this.keep) break;
      this.nodes.delete(old);
    }
  }

  /** Stand on a moment; the path ends where its branch does. */
  stand(number) {
    if (!this.path.includes(number)) {
      const path = [];
      for (let node = this.nodes.get(number); node; node = this.nodes.get(node.parent)) path.unshift(node.number);
      this.path = path;
    }
    this.path = this.path.filter((each) => this.nodes.has(each));
    this.at = this.path.indexOf(number);
  }

  /** The newest moment of every branch, oldest branch first. */
  tips() {
    const tips = new Map();
    for (const node of this.nodes.values()) tips.set(node.lane, node);
    return [...tips.values()].sort((a, b) => a.lane - b.lane);
  }

  drawValue(canvas, threshold) {
    const { context, width, height, colour } = prepare(canvas);
    const pad = 5, y = (value) => pad + (1 - value) * (height - 2 * pad);
    const x = (i) => pad + (i / Math.max(59, this.path.length - 1)) * (width - 2 * pad);
    context.strokeStyle = colour("--soft");
    context.setLineDash([3, 4]);
    line(context, [[0, y(threshold)], [width, y(threshold)]]);
    context.setLineDash([]);
    const points = this.path.map((number, i) => [x(i), y(this.nodes.get(number).value ?? 0)]);
    context.strokeStyle = colour("--line");
    context.lineWidth = 2;
    line(context, points);
    context.strokeStyle = context.fillStyle = colour("--dream");
    line(context, points.slice(0, this.at + 1));
    if (points[this.at]) dot(context, points[this.at], 3.5);
  }

  drawTree(canvas) {
    const { context, width, height, colour } = prepare(canvas);
    const place = this.place(width, height);
    const lit = new Set(this.path.slice(0, this.at + 1));
    for (const pass of [false, true]) { // the present branch on top
      context.strokeStyle = colour(pass ? "--dream" : "--soft");
      context.lineWidth = pass ? 2.5 : 1.5;
      for (const node of this.nodes.values()) {
        const from = this.nodes.get(node.parent);
        if (from && lit.has(node.number) === pass) {
          const [x0, y0] = place(from), [x1, y1] = place(node);
          line(context, y0 === y1 ? [[x0, y0], [x1, y1]] : [[x0, y0], [x0, y1], [x1, y1]]);
        }
      }
    }
    context.fillStyle = colour("--soft");
    for (const tip of this.tips()) dot(context, place(tip), 2.5);
    context.fillStyle = colour("--dream");
    const now = this.nodes.get(this.now);
    if (now) dot(context, place(now), 4.5);
  }

  /** The moment nearest to a point of the tree. */
  nearest(x, y, width, height) {
    const place = this.place(width, height);
    let best = null, least = Infinity;
    for (const node of this.nodes.values()) {
      const [nx, ny] = place(node);
      const distance = (nx - x) ** 2 + 4 * (ny - y) ** 2;
      if (distance < least) { least = distance; best = node.number; }
    }
    return best;
  }

  place(width, height) {
    const depths = [...this.nodes.values()].map((node) => node.depth);
    const first = Math.min(...depths), span = Math.max(59, Math.max(...depths) - first);
    const lanes = [...new Set([...this.nodes.values()].map((node) => node.lane))].sort((a, b) => a - b);
    const pad = 8;
    return (node) => [
      pad + ((node.depth - first) / span) * (width - 2 * pad),
      (height * (lanes.indexOf(node.lane) + 1)) / (lanes.length + 1),
    ];
  }
}

function prepare(canvas) {
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.lineWidth = 1;
  const style = getComputedStyle(document.documentElement);
  return { context, width, height, colour: (name) => style.getPropertyValue(name).trim() };
}

function line(context, points) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}

function dot(context, [x, y], radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}
