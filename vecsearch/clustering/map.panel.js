// What is said beside the map: the tooltip, a document, what is selected, what has a word, and the clusters.

const framed = window.parent !== window;  // the page around it shows documents and searches itself
const origin = location.origin;

// Every text gets onto the page as text: nothing in a document is taken for markup.
function element(tag, text) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  return made;
}

function button(text, act) {
  const made = element("button", text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

function section(id, ...parts) {
  const box = byId(id), close = button("×", () => (id === "document" ? open(-1) : select(null)));
  close.setAttribute("aria-label", "Close");
  box.replaceChildren(close, ...parts);
  box.hidden = false;
  box.scrollIntoView({ block: "nearest" });
}

const counted = (count) => count.toLocaleString("en");
const nameOf = (i) => (cluster[i] === NONE ? "in no cluster" : data.clusters[cluster[i]].name);
const tell = (message) => { if (framed && origin !== "null") window.parent.postMessage(message, origin); };

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
  byId("document").hidden = true;
  if (i >= 0 && framed) tell({ type: "vecsearch:open", id: data.id[i] });
  else if (i >= 0) {
    const fields = element("dl");
    const facts = [["id", data.id[i]], ["cluster", nameOf(i)], ...Object.entries(data.fields[i])];
    for (const [name, value] of facts)
      fields.append(element("dt", name), element("dd", typeof value === "string" ? value : JSON.stringify(value)));
    section("document", element("h2", data.title[i]), element("p", data.text[i]), fields);
  }
  draw();
}

function choose(number) {
  chosen = chosen === number ? null : number;
  for (const [place, own] of [...byId("clusters").querySelectorAll("button")].entries())
    own.setAttribute("aria-pressed", String(place === chosen));
  draw();
}

// Only these documents are lit: those that have a word, that are selected, or that the page around names; null for all.
function light(some) {
  lit = some === null ? null : new Uint8Array(size);
  for (const i of some || []) lit[i] = 1;
  draw();
}

let lower = null;
function search() {
  const asked = byId("search").value.trim().toLowerCase();
  lower ||= data.title.map((title, i) => (title + "\n" + data.text[i]).toLowerCase());
  const found = asked ? [...order].filter((i) => lower[i].includes(asked)) : null;
  byId("selection").hidden = true;
  byId("count").textContent = found ? `${counted(found.length)} of ${counted(size)} documents` : "";
  light(found);
}

const LISTED = 100, READ = 3000;

function select(some) {
  byId("selection").hidden = true;
  byId("search").value = byId("count").textContent = "";
  light(some);
  tell({ type: "vecsearch:select", ids: (some || []).map((i) => data.id[i]) });
  if (some === null || framed) return;
  const of = new Map();
  for (const i of some) of.set(nameOf(i), (of.get(nameOf(i)) || 0) + 1);
  const most = [...of].sort((a, b) => b[1] - a[1]).slice(0, 3).map(([name, count]) => `${name} (${counted(count)})`);
  const list = element("ol");
  for (const i of some.slice(0, LISTED)) {
    const item = element("li"), own = button(undefined, () => open(i));
    own.append(element("span", data.title[i]));
    item.append(own);
    list.append(item);
  }
  const words = commonest(some), rest = some.length - LISTED;
  section("selection", element("h2", `${counted(some.length)} document${some.length === 1 ? "" : "s"}`),
    ...(words.length ? [element("p", `Words: ${words.join(", ")}`)] : []), ...(most.length ? [element("p", most.join("; "))] : []),
    list, ...(rest > 0 ? [element("p", `and ${counted(rest)} more`)] : []));
}

// In how many of these documents each word is; of very many an even sample is read.
function wordsOf(some) {
  const counts = new Map(), step = Math.ceil(some.length / READ);
  let read = 0;
  for (let k = 0; k < some.length; k += step, read++)
    for (const word of new Set((data.title[some[k]] + " " + data.text[some[k]]).toLowerCase().match(/\p{L}[\p{L}\p{M}'’-]+/gu)))
      counts.set(word, (counts.get(word) || 0) + 1);
  return [counts, Math.max(1, read)];
}

let everywhere = null;
function commonest(some) {
  everywhere ||= wordsOf([...order]);
  const [own, read] = wordsOf(some), [all, of] = everywhere;
  // As the names of clusters: how common a word is here, times the logarithm of how many times as common as everywhere.
  const scored = [...own].map(([word, count]) => [word, (count / read) * Math.log((count / read) / (((all.get(word) || 0) + 1) / of))]);
  return scored.filter(([word, score]) => score > 0 && own.get(word) > 1).sort((a, b) => b[1] - a[1]).slice(0, 8).map(([word]) => word);
}

for (const [number, own] of data.clusters.entries()) {
  const item = element("li"), made = button(undefined, () => choose(number));
  made.append(element("i"), element("span", own.name), element("small", counted(own.documents)));
  made.title = own.words.join(", ");
  made.setAttribute("aria-pressed", "false");
  item.append(made);
  byId("clusters").append(item);
}

function swatches() {
  for (const [number, dot] of [...byId("clusters").querySelectorAll("i")].entries()) dot.style.background = `rgb(${strong[number]})`;
}
