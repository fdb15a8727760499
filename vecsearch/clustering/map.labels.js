// Names: those of clusters first, the largest before the others; then those of areas, more of them the closer one looks; at last
// titles. None covers another: a name that has no room is left out until there is some.

const LINE = 18;  // characters of a line, about
const SHOWN = 0.03;  // share of the view that an area's documents would fill, from which on it is named
const TITLED = 60;  // points in view whose titles are shown at the most
const FACE = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

// A name in lines: of several words where there is room, and a word that is two never apart from its other half.
function lines(name, parts = name.split(/(?<=,) /)) {
  const found = [""];
  for (const part of parts) {
    const last = found[found.length - 1];
    if (last && last.length + 1 + part.length > LINE) found.push(part);
    else found[found.length - 1] = last ? `${last} ${part}` : part;
  }
  return found;
}

const largest = Math.max(1, ...data.clusters.map((own) => own.documents));
const labels = [
  ...data.clusters.map((own, number) => ({ ...own, number, pixels: 12.5 + 5.5 * Math.sqrt(own.documents / largest), weight: 650 })),
  ...data.areas.map((own) => ({ ...own, number: null, pixels: 12, weight: 500 })),
].map((own) => ({ ...own, lines: lines(own.name), font: "", wide: 0 }));
let shownNames = [];  // what is on the screen, as {name, left, top, right, bottom}

const isNamed = (own) => (own.number === null
  ? chosen === null && lit === null && (own.documents / size) * zoom() ** 2 >= SHOWN
  : (chosen === null || chosen === own.number) && own.documents > 0);

// The points in view, where these are few: cells of the grid that are seen hold them.
function inView() {
  if (zoom() < 4) return [];
  const at = (value, from) => cellOf((value - from) / scale), found = [];
  for (let cy = at(0, top_); cy <= at(height, top_); cy++)
    for (let p = cellStart[cy * CELLS + at(0, left)]; p < cellStart[cy * CELLS + at(width, left) + 1]; p++) {
      const i = inCells[p], px = left + scale * x[i], py = top_ + scale * y[i];
      if (isLit(i) && px > 0 && px < width && py > 0 && py < height && found.push(i) > TITLED) return [];
    }
  return found;
}

function measured(own, font) {
  if (own.font !== font) {
    write.font = own.font = font;
    own.wide = Math.max(...own.lines.map((line) => write.measureText(line).width));
  }
  return own.wide;
}

// Write a name of this size around a place, if that is free, as nothing of the map's edge cuts it.
function writeName(own, px, py, pixels, colour) {
  const font = `${own.weight} ${pixels}px ${FACE}`, tall = 1.18 * pixels;
  const half = measured(own, font) / 2 + 5 * ratio, high = (tall * own.lines.length) / 2 + 2 * ratio;
  if (2 * half > width || 2 * high > height) return;
  const nx = Math.max(half, Math.min(width - half, px)), ny = Math.max(high, Math.min(height - high, py));
  const box = { name: own.name, left: nx - half, top: ny - high, right: nx + half, bottom: ny + high };
  const covers = (o) => box.left < o.right && o.left < box.right && box.top < o.bottom && o.top < box.bottom;
  if (covers(toolbox) || shownNames.some(covers)) return;
  shownNames.push(box);
  [write.font, write.lineWidth, write.fillStyle] = [font, 0.3 * pixels, colour];
  for (const stroke of [true, false])
    for (const [row, line] of own.lines.entries()) {
      const at = ny + (row - (own.lines.length - 1) / 2) * tall;
      if (stroke) write.strokeText(line, nx, at);
      else write.fillText(line, nx, at);
    }
}

function writeNames() {
  write.clearRect(0, 0, width, height);
  [write.textAlign, write.textBaseline, write.lineJoin] = ["center", "middle", "round"];
  write.strokeStyle = `rgba(${ground},.9)`;
  shownNames = [];
  const sized = ratio * Math.max(0.8, Math.min(1, side() / ratio / 650)), readable = `rgb(${ink.map((v, c) => Math.round(0.72 * v + 0.28 * ground[c]))})`;
  for (const own of labels) {
    const px = left + scale * own.x, py = top_ + scale * own.y;
    if (px < 0 || px > width || py < 0 || py > height || !isNamed(own)) continue;
    writeName(own, px, py, own.pixels * sized, own.number === null ? readable : nameColours[own.number]);
  }
  const below = look()[0] + 9 * ratio;
  for (const i of inView()) {
    const title = data.title[i].length > 32 ? data.title[i].slice(0, 31) + "…" : data.title[i];
    const own = { name: title, lines: [title], weight: 400, font: "", wide: 0 };
    writeName(own, left + scale * x[i], top_ + scale * y[i] + below, 11 * sized, readable);
  }
  drawLasso();
}
