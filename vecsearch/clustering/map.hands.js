// What is done by mouse, touch and keys, what the page around says, and the start.

const still = matchMedia("(prefers-reduced-motion: reduce)");
let lassoed = null, moving = 0;

function drawLasso() {
  if (!lassoed || lassoed.length < 2) return;
  write.beginPath();
  for (const [px, py] of lassoed) write.lineTo(px, py);
  write.closePath();
  write.fillStyle = `rgba(${ink},.08)`;
  write.fill();
  [write.strokeStyle, write.lineWidth] = [`rgb(${ink})`, 1.5 * ratio];
  write.stroke();
}

function within(line) {
  const places = line.map(([px, py]) => [(px - left) / scale, (py - top_) / scale]), found = [];
  for (let i = 0; i < size; i++) {
    let inside = false;
    for (let a = 0, b = places.length - 1; a < places.length; b = a++) {
      const [ax, ay] = places[a], [bx, by] = places[b];
      if (ay > y[i] !== by > y[i] && x[i] < ((bx - ax) * (y[i] - ay)) / (by - ay) + ax) inside = !inside;
    }
    if (inside && (chosen === null || cluster[i] === chosen)) found.push(i);
  }
  return found;
}

function zoomAt(px, py, factor) {
  const next = Math.max(0.5 * side(), Math.min(400 * side(), scale * factor));
  left = px - ((px - left) * next) / scale;
  top_ = py - ((py - top_) * next) / scale;
  scale = next;
  draw();
}

// The view glides to a scale and a place, unless motion is not wanted.
function glide(to) {
  const from = [scale, left, top_], start = performance.now(), length = still.matches ? 0 : 260, own = ++moving;
  const step = (now) => {
    if (own !== moving) return;
    const done = length ? Math.min(1, (now - start) / length) : 1, eased = 1 - (1 - done) ** 3;
    const next = from[0] * (to[0] / from[0]) ** eased, share = to[0] === from[0] ? eased : (next - from[0]) / (to[0] - from[0]);
    [scale, left, top_] = [next, from[1] + (to[1] - from[1]) * share, from[2] + (to[2] - from[2]) * share];
    draw();
    if (done < 1) requestAnimationFrame(step);
  };
  step(start);
}

function glideBy(factor, px = width / 2, py = height / 2) {
  const next = Math.max(0.5 * side(), Math.min(400 * side(), scale * factor));
  glide([next, px - ((px - left) * next) / scale, py - ((py - top_) * next) / scale]);
}

function selecting(on) {
  byId("lasso").setAttribute("aria-pressed", String(on));
  document.body.classList.toggle("selecting", on);
}

function listenToPointers() {
  const held = new Map();
  let moved = 0;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    held.set(event.pointerId, place(event));
    [moved, moving] = [0, moving + 1];
    lassoed = held.size === 1 && (event.shiftKey || document.body.classList.contains("selecting")) ? [place(event)] : null;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = place(event), before = held.get(event.pointerId);
    if (!before) return event.pointerType === "mouse" ? hover(...now) : undefined;
    const other = [...held.entries()].find(([id]) => id !== event.pointerId);
    if (other) {
      const apart = (one) => Math.hypot(one[0] - other[1][0], one[1] - other[1][1]) || 1;
      zoomAt(other[1][0], other[1][1], apart(now) / apart(before));
    } else if (lassoed) lassoed.push(now);
    else {
      left += now[0] - before[0];
      top_ += now[1] - before[1];
    }
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    held.set(event.pointerId, now);
    draw();
  });
  const release = (event) => {
    const line = lassoed;
    if (!held.delete(event.pointerId)) return;
    lassoed = null;
    if (event.type !== "pointerup") return draw();
    if (line && line.length > 2) {
      select(within(line));
      selecting(false);
    } else if (moved < 5 * ratio) {
      const found = nearest(...place(event));
      // Beside every point, a click ends a selection where there is no panel with a button for it.
      if (found < 0 && framed && lit !== null) select(null);
      else open(found);
    }
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => hover(-1e9, -1e9));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    moving++;
    zoomAt(...place(event), Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)));
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => glideBy(2.5, ...place(event)));
}

function listenToKeys() {
  canvas.addEventListener("keydown", (event) => {
    const step = 0.12 * side(), moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (moves[event.key]) glide([scale, left + step * moves[event.key][0], top_ + step * moves[event.key][1]]);
    else if (event.key === "+" || event.key === "=") glideBy(1.5);
    else if (event.key === "-") glideBy(1 / 1.5);
    else if (event.key === "0") glide(wholeMap());
    else if (event.key === "Enter") open(nearest(width / 2, height / 2));
    else return;
    event.preventDefault();
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    selecting(false);
    if (opened >= 0) open(-1);
    else if (lit !== null) select(null);
    else if (chosen !== null) choose(chosen);
  });
}

function listenToPage() {
  addEventListener("message", (event) => {
    if (!framed || event.origin !== origin || event.data === null || event.data.type !== "vecsearch:highlight") return;
    if (typeof event.data.dark === "boolean") {  // the page may have another theme than the system
      document.documentElement.dataset.theme = event.data.dark ? "dark" : "light";
      colours();
      swatches();
    }
    const asked = Array.isArray(event.data.ids) ? new Set(event.data.ids) : null;
    light(asked && [...order].filter((i) => asked.has(data.id[i])));
  });
  tell({ type: "vecsearch:ready" });
}

document.documentElement.classList.toggle("framed", framed);
byId("in").addEventListener("click", () => glideBy(1.8));
byId("out").addEventListener("click", () => glideBy(1 / 1.8));
byId("all").addEventListener("click", () => glide(wholeMap()));
byId("lasso").addEventListener("click", () => selecting(!document.body.classList.contains("selecting")));
byId("search").addEventListener("input", search);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { colours(); swatches(); draw(); });
colours();
swatches();
resize();
new ResizeObserver(resize).observe(canvas.parentElement);
listenToPointers();
listenToKeys();
listenToPage();
