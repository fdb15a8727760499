"use strict";
// The points are written into the pixels of one image: a hundred thousand take some milliseconds, with or without a graphics card.

const data = JSON.parse(document.getElementById("data").textContent);
const size = data.x.length;
const byId = (id) => document.getElementById(id);
const canvas = byId("points"), names = byId("names"), tip = byId("tip");
const paint = canvas.getContext("2d", { alpha: false, willReadFrequently: true }), write = names.getContext("2d");
const NONE = data.clusters.length;  // the place of what is in no cluster

const x = Float32Array.from(data.x, (value) => value / 65535), y = Float32Array.from(data.y, (value) => value / 65535);
const cluster = Uint32Array.from(data.cluster, (number) => (number < 0 ? NONE : number));

// Of each place on the map which points are there: cells of a grid, filled by counting.
const CELLS = 256;
const cellOf = (value) => Math.max(0, Math.min(CELLS - 1, Math.floor(value * CELLS)));
const cellStart = new Uint32Array(CELLS * CELLS + 1), inCells = new Uint32Array(size);
for (let i = 0; i < size; i++) cellStart[cellOf(y[i]) * CELLS + cellOf(x[i]) + 1]++;
for (let c = 0; c < CELLS * CELLS; c++) cellStart[c + 1] += cellStart[c];
const filled = cellStart.slice();
for (let i = 0; i < size; i++) inCells[filled[cellOf(y[i]) * CELLS + cellOf(x[i])]++] = i;

// What is in no cluster lies below; the others in an order that hides no cluster behind another.
const order = Uint32Array.from({ length: size }, (_, i) => i);
let state = 1;
for (let i = size - 1; i > 0; i--) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  const j = state % (i + 1), swap = order[i];
  order[i] = order[j];
  order[j] = swap;
}
order.sort((a, b) => (cluster[a] === NONE ? 0 : 1) - (cluster[b] === NONE ? 0 : 1));

let width = 0, height = 0, ratio = 1, image = null, pixels = null;
let scale = 1, left = 0, top_ = 0;  // a point's place on the screen is left + scale * x
let chosen = null, lit = null, opened = -1, hovered = -1, waiting = false;
let ground = [0, 0, 0], ink = [0, 0, 0], strong = [], nameColours = [];
let toolbox = { left: 0, top: 0, right: 0, bottom: 0 };  // where the buttons are

const packed = (r, g, b) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
const parsed = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

const night = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : night.matches);

function colours() {
  const own = getComputedStyle(document.documentElement), named = (name) => own.getPropertyValue(name).trim();
  const of = data.colours[isDark() ? "dark" : "light"];
  [ground, ink] = [parsed(named("--back")), parsed(named("--ink"))];
  [strong, nameColours] = [of.points.map(parsed), of.names];
}

const side = () => Math.min(width, height);
const zoom = () => scale / (0.92 * side());

function resize() {
  // Where there are very many points, finer pixels would cost more time than they are worth.
  ratio = Math.min(window.devicePixelRatio || 1, size > 50000 ? 1.5 : 2);
  const box = canvas.parentElement.getBoundingClientRect(), first = width === 0;
  const middle = first ? null : [(width / 2 - left) / scale, (height / 2 - top_) / scale], before = side();
  width = Math.max(1, Math.round(box.width * ratio));
  height = Math.max(1, Math.round(box.height * ratio));
  const tools = byId("tools").getBoundingClientRect(), [right, bottom] = [tools.right - box.left, tools.bottom - box.top];
  toolbox = { left: ratio * (right - tools.width), top: ratio * (bottom - tools.height), right: ratio * right, bottom: ratio * bottom };
  canvas.width = names.width = width;
  canvas.height = names.height = height;
  image = paint.createImageData(width, height);
  pixels = new Uint32Array(image.data.buffer);
  if (first) [scale, left, top_] = wholeMap();
  else {
    scale *= side() / before;
    [left, top_] = [width / 2 - middle[0] * scale, height / 2 - middle[1] * scale];
  }
  draw();
}

function wholeMap() {
  const all = 0.92 * side();
  return [all, (width - all) / 2, (height - all) / 2];
}

// A disc as offsets from its middle, each with how much of that pixel it covers, from 0 to 256.
function disc(radius, opacity) {
  const spots = [], reach = Math.ceil(radius);
  for (let dy = -reach; dy <= reach; dy++)
    for (let dx = -reach; dx <= reach; dx++) {
      const covered = Math.max(0, Math.min(1, radius + 0.5 - Math.hypot(dx, dy)));
      if (covered > 0.05) spots.push([dx, dy, Math.round(256 * covered * opacity)]);
    }
  return { reach, flat: Int32Array.from(spots.flat()) };
}

function put(i, { reach, flat }, colour) {
  const px = Math.round(left + scale * x[i]), py = Math.round(top_ + scale * y[i]);
  if (px < -reach || px > width + reach || py < -reach || py > height + reach) return;
  const red = colour[0], green = colour[1], blue = colour[2];
  for (let s = 0; s < flat.length; s += 3) {
    const sx = px + flat[s], sy = py + flat[s + 1], share = flat[s + 2];
    if (sx < 0 || sx >= width || sy < 0 || sy >= height) continue;
    const at = sy * width + sx, old = pixels[at], r = old & 255, g = (old >> 8) & 255, b = (old >> 16) & 255;
    pixels[at] = (255 << 24) | ((b + (((blue - b) * share) >> 8)) << 16) | ((g + (((green - g) * share) >> 8)) << 8)
      | (r + (((red - r) * share) >> 8));
  }
}

const isLit = (i) => (chosen === null || cluster[i] === chosen) && (lit === null || lit[i] === 1);

// The more room a point has, the larger and the less transparent it is: dense places stay readable, and single points visible.
function look() {
  const room = (0.75 * side()) / ratio / Math.sqrt(size) * Math.sqrt(zoom());
  return [ratio * Math.max(0.9, Math.min(4.5, 0.34 * room)), Math.max(0.55, Math.min(0.9, 0.2 * room))];
}

function frame() {
  waiting = false;
  pixels.fill(packed(...ground));
  const [radius, opacity] = look(), some = chosen !== null || lit !== null;
  const usual = disc(radius, some ? 0.12 : opacity);
  for (let k = 0; k < size; k++) if (!some || !isLit(order[k])) put(order[k], usual, strong[cluster[order[k]]]);
  if (some) {
    const larger = disc(Math.max(1.6 * ratio, radius + 0.5 * ratio), 0.9);
    for (let k = 0; k < size; k++) if (isLit(order[k])) put(order[k], larger, strong[cluster[order[k]]]);
  }
  for (const i of [opened, hovered])
    if (i >= 0) {
      put(i, disc(Math.max(2, radius) + 3.5 * ratio, 1), ink);
      put(i, disc(Math.max(2, radius) + 1.5 * ratio, 1), strong[cluster[i]]);
    }
  paint.putImageData(image, 0, 0);
  writeNames();
}

function draw() {
  if (!waiting) {
    waiting = true;
    requestAnimationFrame(frame);
  }
}

function nearest(px, py) {
  const reach = 10 * ratio / scale, mx = (px - left) / scale, my = (py - top_) / scale;
  let best = -1, least = reach * reach;
  for (let cy = cellOf(my - reach); cy <= cellOf(my + reach); cy++)
    for (let cx = cellOf(mx - reach); cx <= cellOf(mx + reach); cx++)
      for (let p = cellStart[cy * CELLS + cx]; p < cellStart[cy * CELLS + cx + 1]; p++) {
        const i = inCells[p], distance = (x[i] - mx) ** 2 + (y[i] - my) ** 2;
        if (distance < least && isLit(i)) [best, least] = [i, distance];
      }
  return best;
}
