"use strict";
// The points are written into the pixels of one image: tens of thousands of them take a few milliseconds, on any machine.

const data = JSON.parse(document.getElementById("data").textContent);
const size = data.x.length;
const byId = (id) => document.getElementById(id);
const canvas = byId("points"), names = byId("names"), tip = byId("tip");
const paint = canvas.getContext("2d", { alpha: false, willReadFrequently: true }), write = names.getContext("2d");
const NONE = data.clusters.length;  // the place of what is in no cluster

const x = Float32Array.from(data.x, (value) => value / 65535), y = Float32Array.from(data.y, (value) => value / 65535);
const cluster = Uint32Array.from(data.cluster, (number) => (number < 0 ? NONE : number));
const lower = data.title.map((title, i) => (title + "\n" + data.text[i]).toLowerCase());

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
let chosen = null, searched = null, opened = -1, hovered = -1, waiting = false;
let strong = [], faint = [], back = 0, ink = "";

const packed = (r, g, b) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

function hsl(h, s, l) {
  const part = (n) => {
    const k = (n + h / 30) % 12;
    return Math.round(255 * (l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}

function colours() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const ground = dark ? [22, 23, 25] : [251, 251, 250];
  back = packed(...ground);
  ink = dark ? "#ececea" : "#1c1c1a";
  strong = [];
  faint = [];
  for (let c = 0; c <= NONE; c++) {
    // Turning by the golden angle, neighbors in the list are never alike.
    const own = c === NONE ? [150, 150, 146] : hsl((c * 137.508 + 210) % 360, 0.62, [0.45, 0.58, 0.52][c % 3] + (dark ? 0.08 : 0));
    strong.push(own);
    faint.push(packed(...own.map((value, i) => Math.round(0.13 * value + 0.87 * ground[i]))));
  }
}

function resize() {
  ratio = window.devicePixelRatio || 1;
  const box = canvas.parentElement.getBoundingClientRect(), first = width === 0;
  const middle = first ? null : [(width / 2 - left) / scale, (height / 2 - top_) / scale], side = Math.min(width, height);
  width = Math.max(1, Math.round(box.width * ratio));
  height = Math.max(1, Math.round(box.height * ratio));
  canvas.width = names.width = width;
  canvas.height = names.height = height;
  image = paint.createImageData(width, height);
  pixels = new Uint32Array(image.data.buffer);
  if (first) showAll();
  else {
    scale *= Math.min(width, height) / side;
    [left, top_] = [width / 2 - middle[0] * scale, height / 2 - middle[1] * scale];
  }
  draw();
}

function showAll() {
  scale = 0.92 * Math.min(width, height);
  left = (width - scale) / 2;
  top_ = (height - scale) / 2;
}

function disc(radius) {
  const spots = [], reach = Math.ceil(radius);
  for (let dy = -reach; dy <= reach; dy++)
    for (let dx = -reach; dx <= reach; dx++) if (dx * dx + dy * dy <= radius * radius) spots.push([dx, dy]);
  return spots;
}

function put(i, spots, colour) {
  const px = Math.round(left + scale * x[i]), py = Math.round(top_ + scale * y[i]);
  for (const [dx, dy] of spots) {
    const sx = px + dx, sy = py + dy;
    if (sx >= 0 && sx < width && sy >= 0 && sy < height) pixels[sy * width + sx] = colour;
  }
}

const isLit = (i) => (chosen === null || cluster[i] === chosen) && (searched === null || searched[i] === 1);

function frame() {
  waiting = false;
  pixels.fill(back);
  const zoom = scale / Math.min(width, height), small = ratio * Math.min(4, (size > 5000 ? 1.1 : 2) * Math.sqrt(Math.max(1, zoom)));
  const spots = disc(small), bright = strong.map((own) => packed(...own)), some = chosen !== null || searched !== null;
  for (const i of order) if (!some || !isLit(i)) put(i, spots, some ? faint[cluster[i]] : bright[cluster[i]]);
  if (some) {
    const larger = disc(small + ratio);
    for (const i of order) if (isLit(i)) put(i, larger, bright[cluster[i]]);
  }
  for (const i of [opened, hovered])
    if (i >= 0) {
      put(i, disc(small + 4 * ratio), packed(...(ink === "#1c1c1a" ? [28, 28, 26] : [236, 236, 234])));
      put(i, disc(small + 2.5 * ratio), bright[cluster[i]]);
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

function writeNames() {
  write.clearRect(0, 0, width, height);
  write.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  write.textAlign = "center";
  write.textBaseline = "middle";
  write.lineWidth = 4 * ratio;
  write.lineJoin = "round";
  write.strokeStyle = getComputedStyle(document.body).backgroundColor;
  write.fillStyle = ink;
  const taken = [];
  for (const [number, own] of data.clusters.entries()) {
    if (chosen !== null && chosen !== number) continue;
    const px = left + scale * (own.x / 65535), ny = top_ + scale * (own.y / 65535);
    const half = write.measureText(own.name).width / 2 + 6 * ratio, tall = 11 * ratio;
    if (px < 0 || px > width || ny < 0 || ny > height) continue;
    const nx = Math.max(half, Math.min(width - half, px));
    if (taken.some(([ox, oy, ohalf]) => Math.abs(nx - ox) < half + ohalf && Math.abs(ny - oy) < 2 * tall)) continue;
    taken.push([nx, ny, half]);
    write.strokeText(own.name, nx, ny);
    write.fillText(own.name, nx, ny);
  }
}

function nearest(px, py) {
  const reach = 9 * ratio / scale, mx = (px - left) / scale, my = (py - top_) / scale;
  let best = -1, least = reach * reach;
  for (let cy = cellOf(my - reach); cy <= cellOf(my + reach); cy++)
    for (let cx = cellOf(mx - reach); cx <= cellOf(mx + reach); cx++)
      for (let p = cellStart[cy * CELLS + cx]; p < cellStart[cy * CELLS + cx + 1]; p++) {
        const i = inCells[p], distance = (x[i] - mx) ** 2 + (y[i] - my) ** 2;
        if (distance < least && ((chosen === null && searched === null) || isLit(i))) [best, least] = [i, distance];
      }
  return best;
}

// Every text gets onto the page as text: nothing in a document is taken for markup.
function element(tag, text) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  return made;
}

const nameOf = (i) => (cluster[i] === NONE ? "in no cluster" : data.clusters[cluster[i]].name);

function hover(px, py) {
  const found = nearest(px, py);
  if (found !== hovered) {
    hovered = found;
    tip.hidden = found < 0;
    if (found >= 0) {
      const text = data.text[found];
      tip.replaceChildren(element("b", data.title[found]), element("span", text.length > 240 ? text.slice(0, 240) + "…" : text),
        element("small", nameOf(found)));
    }
    draw();
  }
  if (found >= 0) {
    const wide = tip.offsetWidth, tall = tip.offsetHeight, ox = px / ratio, oy = py / ratio;
    tip.style.left = `${Math.max(0, Math.min(ox + 14, width / ratio - wide))}px`;
    tip.style.top = `${oy + 14 + tall > height / ratio ? Math.max(0, oy - tall - 14) : oy + 14}px`;
  }
}

function open(i) {
  opened = i;
  const box = byId("document");
  box.hidden = i < 0;
  if (i >= 0) {
    const fields = element("dl");
    const facts = [["id", data.id[i]], ["cluster", nameOf(i)], ...Object.entries(data.fields[i])];
    for (const [name, value] of facts)
      fields.append(element("dt", name), element("dd", typeof value === "string" ? value : JSON.stringify(value)));
    box.replaceChildren(element("h2", data.title[i]), element("p", data.text[i]), fields);
  }
  draw();
}

function choose(number) {
  chosen = chosen === number ? null : number;
  for (const [place, button] of [...byId("clusters").querySelectorAll("button")].entries())
    button.setAttribute("aria-pressed", String(place === chosen));
  draw();
}

function search() {
  const asked = byId("search").value.trim().toLowerCase();
  searched = null;
  let count = 0;
  if (asked) {
    searched = new Uint8Array(size);
    for (let i = 0; i < size; i++) if (lower[i].includes(asked)) count += searched[i] = 1;
  }
  byId("count").textContent = asked ? `${count.toLocaleString("en")} of ${size.toLocaleString("en")} documents` : "";
  draw();
}

function zoomAt(px, py, factor) {
  const next = Math.max(0.5 * Math.min(width, height), Math.min(400 * Math.min(width, height), scale * factor));
  left = px - ((px - left) * next) / scale;
  top_ = py - ((py - top_) * next) / scale;
  scale = next;
  draw();
}

function listen() {
  const held = new Map();
  let moved = 0;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  };
  canvas.addEventListener("pointerdown", (event) => {
    held.set(event.pointerId, place(event));
    moved = 0;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = place(event), before = held.get(event.pointerId);
    if (!before) return hover(...now);
    const other = [...held.entries()].find(([id]) => id !== event.pointerId);
    if (other) {
      const apart = (one) => Math.hypot(one[0] - other[1][0], one[1] - other[1][1]) || 1;
      zoomAt(other[1][0], other[1][1], apart(now) / apart(before));
    } else {
      left += now[0] - before[0];
      top_ += now[1] - before[1];
    }
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    held.set(event.pointerId, now);
    draw();
  });
  const release = (event) => {
    if (held.delete(event.pointerId) && event.type === "pointerup" && moved < 4 * ratio) open(nearest(...place(event)));
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => hover(-1e9, -1e9));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomAt(...place(event), Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)));
  }, { passive: false });
  canvas.addEventListener("dblclick", () => { showAll(); draw(); });
  canvas.addEventListener("keydown", (event) => {
    const step = 0.1 * Math.min(width, height), moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (moves[event.key]) [left, top_] = [left + step * moves[event.key][0], top_ + step * moves[event.key][1]];
    else if (event.key === "+" || event.key === "=") zoomAt(width / 2, height / 2, 1.3);
    else if (event.key === "-") zoomAt(width / 2, height / 2, 1 / 1.3);
    else if (event.key === "0") showAll();
    else if (event.key === "Escape") open(-1);
    else return;
    event.preventDefault();
    draw();
  });
  byId("search").addEventListener("input", search);
  new ResizeObserver(resize).observe(canvas.parentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { colours(); swatches(); draw(); });
}

function swatches() {
  for (const [number, dot] of [...byId("clusters").querySelectorAll("i")].entries()) dot.style.background = `rgb(${strong[number]})`;
}

colours();
for (const [number, own] of data.clusters.entries()) {
  const item = element("li"), button = element("button");
  button.append(element("i"), element("span", own.name), element("small", own.documents.toLocaleString("en")));
  button.title = own.words.join(", ");
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => choose(number));
  item.append(button);
  byId("clusters").append(item);
}
swatches();
resize();
listen();
