// Pictures: what a frame holds, and how it is drawn. Pixels come raw, so differences are exact.

export const TITLES = { imagined: "imagined", real: "real", difference: "difference", spread: "uncertainty" };
const AMPLIFY = 1.5; // small differences are what one looks for

/** A frame from its bytes: {header, planes: Map "what camera" -> Uint8Array}. See message.py: pack_frame. */
export function readFrame(buffer, size) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const planes = new Map();
  let offset = 4 + length;
  for (const [what, camera, channels] of header.planes) {
    planes.set(`${what} ${camera}`, new Uint8Array(buffer, offset, size * size * channels));
    offset += size * size * channels;
  }
  return { header, planes };
}

export class Views {
  constructor(root, cameras, size) {
    this.root = root;
    this.cameras = cameras;
    this.size = size;
    this.canvases = new Map();
    this.frame = null;
  }

  /** Show one column for each of `kinds`, one row for each camera. */
  lay(kinds) {
    this.root.replaceChildren();
    this.canvases.clear();
    this.root.style.setProperty("--columns", kinds.length);
    this.root.dataset.columns = kinds.length;
    for (const camera of this.cameras) {
      for (const kind of kinds) {
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = this.size;
        canvas.dataset.camera = camera;
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `${TITLES[kind]}, camera ${camera}`);
        const caption = document.createElement("figcaption");
        const name = document.createElement("span");
        name.textContent = ` ${camera}`;
        caption.append(TITLES[kind], name);
        const figure = document.createElement("figure");
        figure.className = kind;
        figure.append(caption, canvas);
        this.root.append(figure);
        this.canvases.set(`${kind} ${camera}`, canvas);
      }
    }
    if (this.frame) this.draw(this.frame);
  }

  draw(frame) {
    this.frame = frame;
    for (const [key, canvas] of this.canvases) {
      const [kind, camera] = key.split(" ");
      const context = canvas.getContext("2d");
      const image = context.createImageData(this.size, this.size);
      if (this.fill(image.data, kind, camera, frame.planes)) context.putImageData(image, 0, 0);
      else context.clearRect(0, 0, this.size, this.size);
    }
  }

  /** RGBA of one picture; false where there is nothing to show. */
  fill(out, kind, camera, planes) {
    const imagined = planes.get(`imagined ${camera}`);
    const real = planes.get(`real ${camera}`);
    const spread = planes.get(`spread ${camera}`);
    if ((kind === "real" || kind === "difference") && !real) return false;
    if (kind === "spread" && !spread) return false;
    for (let i = 0, j = 0; j < out.length; i += 3, j += 4) {
      out[j + 3] = 255;
      for (let c = 0; c < 3; c++) {
        if (kind === "imagined") out[j + c] = imagined[i + c];
        else if (kind === "real") out[j + c] = real[i + c];
        else if (kind === "difference") out[j + c] = heat(apart(imagined, real, i), c, 0);
        else out[j + c] = heat(spread[i / 3], c, imagined[i + 1]);
      }
    }
    return true;
  }

  /** How close the dream is to what really happened, over all cameras: PSNR in dB; null without a simulator. */
  closeness() {
    let sum = 0, count = 0;
    for (const camera of this.cameras) {
      const imagined = this.frame?.planes.get(`imagined ${camera}`);
      const real = this.frame?.planes.get(`real ${camera}`);
      if (!imagined || !real) return null;
      for (let i = 0; i < real.length; i++) sum += (imagined[i] - real[i]) ** 2;
      count += real.length;
    }
    return sum === 0 ? Infinity : 10 * Math.log10((255 * 255 * count) / sum);
  }
}

/** How far two pixels are apart, mean over colours, amplified. */
function apart(one, other, i) {
  const sum = Math.abs(one[i] - other[i]) + Math.abs(one[i + 1] - other[i + 1]) + Math.abs(one[i + 2] - other[i + 2]);
  return Math.min(255, (AMPLIFY * sum) / 3);
}

/** Black, red, yellow, white for 0 to 255, over a dimmed grey picture so that one sees where it is. */
function heat(value, channel, grey) {
  const level = Math.min(255, Math.max(0, value * 3 - 255 * channel));
  return Math.min(255, level + 0.35 * grey * (1 - value / 255));
}
