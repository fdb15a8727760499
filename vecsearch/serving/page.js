"use strict";
// The search page. It asks only the service's API, keeps its state in the address, and shows texts only as text.

const PAGE = 20, ON_MAP = 100, MOST = 1000;  // hits of a page, beside the map, and of all pages
const TYPING = 90, CONDITION = 350;  // ms of rest before what was typed is asked for
const LONG = 20000, ROOM = 8000;  // characters of a text shown at once; of a condition of ids

// -- the theme, before the first frame

const root = document.documentElement, night = matchMedia("(prefers-color-scheme: dark)");

/** Read or keep a value, as far as the browser allows it. */
function kept(name, value, store = "localStorage") {
  try {
    return value === undefined ? window[store].getItem(name) : window[store].setItem(name, value);
  } catch { return null; }
}

const THEME = "vecsearch-theme", apiKey = (value) => kept("vecsearch-key", value, "sessionStorage");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : night.matches);
root.dataset.theme = kept(THEME) || "";

// -- small tools

const $ = (id) => document.getElementById(id);
const STILL = { preventScroll: true }, AUTO = { dir: "auto" };
const isText = (value) => typeof value === "string";
const number = (value) => value.toLocaleString("en");
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
const sentence = (text) => text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

/** An element, "tag.class", of attributes, children, and lists of them. Whatever is text stays text. */
function h(tag, ...rest) {
  const [name, ...classes] = tag.split("."), element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  if (name === "button") element.type = "button";
  for (const one of rest.flat(3)) {
    if (one?.constructor !== Object) {
      if (one || one === 0) element.append(one);
      continue;
    }
    for (const [key, value] of Object.entries(one)) {
      if (key === "key") element.dataset.key = value;
      else if (key === "share") element.style.setProperty("--share", Math.max(0, Math.min(1, value)).toFixed(3));
      else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value || value === 0) element.setAttribute(key, value === true ? "" : value);
    }
  }
  return element;
}

function icon(name) {
  const made = document.querySelector("svg.icon").cloneNode(true);
  made.firstElementChild.setAttribute("href", `#i-${name}`);
  return made;
}

/** A text as what is cut by code points, as the service counts them. */
const letters = (text) => (/[\ud800-\udfff]/.test(text) ? Array.from(text) : text);
const part = (of, from, to) => (isText(of) ? of.slice(from, to) : of.slice(from, to).join(""));

/** A text of which some parts, [start, stop, make], stand in elements. */
function woven(text, spans) {
  const of = letters(text), made = [];
  let at = 0;
  for (const [start, stop, make] of spans) {
    if (start < at) continue;
    made.push(part(of, at, start), make(part(of, start, stop)));
    at = stop;
  }
  return [...made, part(of, at)];
}

/** Fill an element anew. What had the focus has it again, by its key; where that is gone, `otherwise` has it. */
function fill(element, children, otherwise = $("q")) {
  const had = document.activeElement, within = had !== element && element.contains(had);
  element.replaceChildren(...children.flat().filter(Boolean));
  if (!within) return;
  const again = [...element.querySelectorAll("[data-key]")].find((one) => one.dataset.key === had.dataset.key);
  (again || otherwise).focus(STILL);
}

// -- the state, and the address that says it

const EMPTY = { index: "", q: "", mode: "", where: "", filters: [], like: null, picked: [], page: 1, open: null, view: "list" };
const PLACES = /^(heading|line|page|cell|slide|sheet|message|anchor|size)$/;  // of a passage in its file
let S = EMPTY, indexes = [], info = null;

/** A filter's value in the address: a text as it is, where it does not read as something else. */
function written({ value, range }) {
  if (range) return range.map((end) => end ?? "").join("..");
  return isText(value) && read("", value).value === value ? value : JSON.stringify(value);
}

function read(field, text) {
  const ends = /^([-\d.e+]*?)\.\.([-\d.e+]*)$/.exec(text)?.slice(1).map((end) => (end ? Number(end) : null));
  if (ends) return { field, range: ends };
  try {
    const value = JSON.parse(text);
    if (value !== null && typeof value !== "object") return { field, value };
  } catch { /* a text as it is */ }
  return { field, value: text };
}

function address(state) {
  const query = new URLSearchParams();
  if (state.index !== indexes[0]?.name) query.set("index", state.index);
  for (const name of ["q", "mode", "where"]) if (state[name]) query.set(name, state[name]);
  for (const filter of state.filters) query.append(`f.${filter.field}`, written(filter));
  if (state.picked.join("").length < 1200) for (const id of state.picked) query.append("pick", id);
  if (state.page > 1) query.set("page", state.page);
  if (state.view === "map") query.set("view", "map");
  for (const name of ["like", "open"]) if (state[name] !== null) query.set(name, state[name]);
  return `${location.pathname}${query.size ? "?" : ""}${query}`;
}

function fromAddress() {
  const query = new URLSearchParams(location.search), state = { ...EMPTY };
  for (const name of ["index", "q", "mode", "where"]) state[name] = query.get(name) || "";
  for (const name of ["like", "open"]) state[name] = query.get(name);
  state.filters = [...query].filter(([name]) => name.startsWith("f.")).map(([name, value]) => read(name.slice(2), value));
  state.picked = query.has("pick") ? query.getAll("pick") : history.state || [];  // too long for one
  state.page = Math.min(Math.max(1, Math.floor(query.get("page")) || 1), MOST / PAGE);
  if (query.get("view") === "map") state.view = "map";
  return state;
}

const after = (change) => ({ ...S, page: 1, open: null, ...change });
let typed = 0;  // when the address was last changed by typing: what is typed in one go is one step back

/** Change the state, show it, and ask for what it says. */
function go(change, { typing = false, step = false } = {}) {
  const next = after(change), now = Date.now(), to = address(next), other = to !== address(S) || "picked" in change;
  S = next;
  const replace = step || (typing && now - typed < 2000);
  if (other) history[replace ? "replaceState" : "pushState"](S.picked.length ? S.picked : null, "", to);
  typed = typing ? now : 0;
  update();
}

/** Whether a click asks for no other tab. */
const isPlain = (event) => !(event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);

/** A link within the page, which a click follows without loading it. */
function a(tag, change, ...rest) {
  const follow = (event) => {
    if (!isPlain(event)) return;
    event.preventDefault();
    go(change);
  };
  return h(`a${tag}`, { href: address(after(change)), onclick: follow }, rest);
}

const said = () => S.q.trim(), own = () => S.where.trim();
const asked = () => said() !== "" || S.like !== null;
const narrowings = () => S.filters.length + S.picked.length + own().length;
const modeNow = () => (info.modes.includes(S.mode) ? S.mode : info.modes[0]);

// -- conditions

const literal = (value) => (isText(value) ? `'${value.replaceAll("'", "''")}'` : String(Number(value)));
const fieldOf = (name) => info.fields.find((field) => field.name === name);
const isNumeric = (field) => field && field.kinds.includes("number") && !field.kinds.includes("list");
const isCluster = (name) => name === "cluster" && !fieldOf(name);

/** A filter in the grammar of conditions. */
function condition({ field, value, range }) {
  if (isCluster(field)) return `document.cluster = ${literal(Number(value))}`;
  const name = `fields."${field.replaceAll('"', '""')}"`, kinds = fieldOf(field)?.kinds || [];
  const ends = range && [">=", "<="].map((sign, i) => range[i] !== null && `${name} ${sign} ${range[i]}`);
  if (range) return ends.filter(Boolean).join(" and ");
  const same = `${name} = ${literal(value)}`, among = `${literal(value)} in (select value from json_each(${name}))`;
  if (!kinds.includes("list")) return same;
  return kinds.length === 1 ? among : `(${same} or ${among})`;
}

function whole() {
  const parts = S.filters.map(condition);
  if (S.picked.length) parts.push(`document.id in (${S.picked.map(literal).join(", ")})`);
  if (own()) parts.unshift(parts.length ? `(${own()})` : own());
  return parts.join(" and ");
}

const sameFilter = (one, other) => one.field === other.field && written(one) === written(other);
const isOn = (filter) => S.filters.some((one) => sameFilter(one, filter));
const without = (filter) => ({ filters: S.filters.filter((one) => !sameFilter(one, filter)) });
const toggle = (filter) => go(isOn(filter) ? without(filter) : { filters: [...S.filters, filter] });

const clusterName = (of) => info.clusters.find(({ number: its }) => its === Number(of))?.name;
const valueName = (field, value) => (isCluster(field) && clusterName(value)) || shown(value);

function filterName({ field, value, range }) {
  if (!range) return valueName(field, value);
  const [from, to] = range;
  return from === null ? `up to ${to}` : to === null ? `from ${from}` : `${from} – ${to}`;
}

// -- the service

async function call(path, { body, signal, method = body ? "POST" : "GET" } = {}) {
  const headers = { "Content-Type": "application/json" };
  if (apiKey()) headers.Authorization = `Bearer ${apiKey()}`;
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
  if (answer.ok) return method === "HEAD" || answer.json();
  const { message = `the service answered ${answer.status}`, hint = "" } = (await answer.json().catch(() => ({}))).error || {};
  throw Object.assign(new Error(message), { status: answer.status, hint, wait: Number(answer.headers.get("Retry-After")) });
}

const indexPath = () => `v1/indexes/${encodeURIComponent(S.index)}`;

// -- searching

let running = null, runningKey = "", last = null, lastKey = "", facets = null, facetKey = "", again = 0, returning = false;

/** The fields that narrow something: no places in files, nothing different in nearly each document. */
function facetFields() {
  const names = info.fields.filter((field) => {
    const { name, kinds, values, documents, common } = field;
    if (name === info.title || (fieldOf("path") && PLACES.test(name)) || values < 2) return false;
    return isNumeric(field) || (kinds.includes("list") ? common[0]?.documents > 1 : values <= documents / 2);
  }).map(({ name }) => name).slice(0, 9);
  return info.clusters.length && !names.includes("cluster") ? [...names, "cluster"] : names;
}

function request() {
  const map = S.view === "map", k = map ? ON_MAP : PAGE, where = whole();
  const body = { k, offset: map ? 0 : (S.page - 1) * k, text_characters: 600, snippets: !map && said() !== "" };
  if (said()) Object.assign(body, { q: said(), mode: modeNow() });
  else if (S.like !== null) body.like = S.like;
  return where ? { ...body, where } : body;
}

/** Ask for what the state says. What was asked before is given up: its answer is never shown. */
async function search() {
  const body = request(), key = JSON.stringify([S.index, body]);
  if (key === runningKey) return;
  clearTimeout(again);
  running?.abort();
  runningKey = "";
  idle();
  if (key === lastKey) return mark();
  const { signal } = (running = new AbortController()), back = returning;
  runningKey = key;
  // By meaning every document is a hit: what facets count depends on the conditions alone, and is asked for when they change.
  const counted = JSON.stringify([S.index, body.where, body.mode === "keywords" ? body.q : body.like]);
  if (counted !== facetKey) body.facets = facetFields();
  root.classList.add("waiting");
  try {
    const answer = await call(`${indexPath()}/search`, { body, signal });
    const result = answer.results[0], newer = answer.generation !== info.generation;
    if (newer) {  // what the index holds is another since
      info = await details();
      examples();
    }
    if (signal.aborted) return;
    const moved = lastKey !== "" && !back;
    [last, lastKey, runningKey] = [{ answer, result }, key, ""];
    [facets, facetKey] = [result.facets || facets, newer ? "" : counted];
    idle();
    wrong("");
    show();
    if (moved) scrollTo(0, 0);
  } catch (error) {
    if (!signal.aborted) failed(error, search);
  }
}

function idle() {
  root.classList.remove("waiting", "stale");
}

/** What went wrong is said where it belongs: beside the condition, in the form for the key, or above the hits that stay. */
function failed(error, retry) {
  idle();
  lastKey = runningKey = "";
  if (error.status === 401) return askKey();
  root.classList.add("stale");
  let text = "The service cannot be reached. It is asked again soon.", [name, act] = ["Try again", retry];
  if (error.status) text = `${sentence(error.message)} ${sentence(error.hint)}`;
  if (error.status === 422 && narrowings() && /condition/.test(error.message)) {
    text = sentence(error.message.replace(/^(the condition )(['"]).*?\2 (?=names|is |does|takes|may|has|calls)/s, "$1"));
    if (own()) return wrong(text);
    [name, act] = ["Remove the filters", () => go({ filters: [], picked: [] })];
  } else if (error.status === 404) [name, act] = ["To the start", () => location.assign("./")];
  else if (!error.status || error.status === 503) again = setTimeout(retry, 1000 * (error.wait || 4));
  const way = h("button.quiet", { onclick: act, key: name }, name);
  fill($("notes"), [h("div.trouble", { role: "alert" }, h("p", text), way)]);
}

function wrong(text) {
  $("wrong").textContent = text;
  $("where").setAttribute("aria-invalid", text !== "");
}

// -- showing

/** Bring everything to what the state says; ask for what is not there. */
function update() {
  for (const name of ["q", "where"]) if ($(name).value !== S[name]) $(name).value = S[name];
  $("clear").hidden = !S.q;
  document.title = `${said() || S.index} · vecsearch`;
  root.dataset.view = S.view;
  root.classList.toggle("plain", !asked() && !narrowings() && S.page === 1 && S.view === "list");
  for (const input of document.querySelectorAll(".choice input")) input.checked = [modeNow(), S.view].includes(input.value);
  $("modes").disabled = S.like !== null && !said();
  chips();
  plane();
  search();
  paper();
}

let speaking = 0;

function show() {
  const { result, answer } = last, { hits } = result;
  for (const hit of hits) titles.set(hit.id, named(hit).title || hit.id);
  $("status").textContent = status(answer, result);
  $("took").textContent = `${Math.ceil(answer.took_ms)} ms`;
  fill($("notes"), (result.notes || []).map((note) => h("p.note", sentence(note))));
  fill($("start"), root.classList.contains("plain") ? start(hits) : []);
  fill($("hits"), hits.map(card));
  fill($("none"), hits.length ? [] : nothing());
  fill($("pages"), pages(result));
  refine();
  if (sheeted && S.open !== null) sheet(...sheeted);
  mark();
  highlight();
  clearTimeout(speaking);  // a screen reader is told once typing rests
  speaking = setTimeout(() => { $("spoken").textContent = $("status").textContent; }, 700);
}

function status({ mode }, { hits, total }) {
  if (!hits.length && S.page === 1) return "No hits";
  const orders = { browse: ", as stored", keywords: " with words of the query", like: ", most alike first" };
  const page = S.page > 1 && `page ${S.page} of ${pageCount(total)}`, some = S.view === "map" && `${hits.length} shown`;
  return [plural(total, "document") + (orders[mode] || ", best first"), page, some].filter(Boolean).join(", ");
}

/** A value as a person reads it. */
function shown(value) {
  if (isText(value)) {
    const time = /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)?$/.test(value);
    return time ? new Date(value).toLocaleDateString("en-GB", { dateStyle: "medium" }) : value;
  }
  if (Array.isArray(value)) return value.map(shown).join(", ");
  return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);
}

const isFile = (hit) => isText(hit.fields.path);

/** A hit's title and what stands above it: of a passage of a file its place, and the last of the headings over it. */
function named(hit) {
  if (!isFile(hit)) return { title: hit.title || (hit.text || hit.passage ? null : hit.id) };
  const above = isText(hit.fields.heading) ? hit.fields.heading.split(" > ") : [];
  return { place: hit.id, title: above.at(-1) || hit.title || hit.fields.path, trail: above.slice(0, -1).join(" › ") };
}

/** The text that was found without the headings that it begins with, and how many characters these are. */
function bodyOf(hit) {
  const text = hit.passage ?? hit.text ?? "", { heading } = hit.fields;
  const shift = isText(heading) && text.startsWith(`${heading}\n\n`) ? heading.length + 2 : 0;
  return [text.slice(shift), [...text.slice(0, shift)].length];
}

function facts(hit) {
  const told = [];
  for (const { name } of info.fields) {
    const value = hit.fields[name], list = Array.isArray(value), rest = list && value.length > 3 ? ` +${value.length - 3}` : "";
    if (name === info.title || (isFile(hit) && (name === "path" || PLACES.test(name))) || told.length === 4) continue;
    const few = shown((list ? value.slice(0, 3) : value) ?? "") + rest;
    const label = isText(value) || list || name === "year" ? "" : `${name} `;
    if (few && few.length < 90) told.push(h("span", { title: name }, label, h("bdi", few)));
  }
  return told;
}

function score(hit) {
  if ((hit.score ?? null) === null) return null;
  const meter = h("span.meter", h("i", { share: hit.score / Math.max(1, last.result.hits[0].score) }));
  return h("span.score", h("span.unseen", "score "), hit.score.toFixed(3), meter);
}

const marked = (marks) => (marks || []).map(([from, to]) => [from, to, (word) => h("mark.hit", word)]);

function card(hit) {
  const { place, title, trail } = named(hit), beginning = { text: bodyOf(hit)[0].slice(0, 300) };
  const { text, marks } = hit.snippet?.text ? hit.snippet : beginning;
  const link = a("", { open: hit.id, page: S.page }, { key: `hit ${hit.id}` }, title || woven(text, marked(marks)));
  return h("li", { "data-id": hit.id },
    h("div.head",
      h("div.name", place && h("p.place", h("bdi", place)), h(title ? "h3" : "p", AUTO, link, trail && h("small", trail))),
      score(hit)),
    title && text && text !== title && h("p.snippet", AUTO, woven(text, marked(marks))),
    h("p.facts", title ? "" : h("span.id", hit.id), facts(hit)));
}

// -- what narrows

function chips() {
  const chip = (key, name, value, change) => h("button.chip", { key, onclick: () => go(change) },
    h("span", h("span.unseen", "Remove "), name), h("bdi", value), icon("close"));
  const made = S.filters.map((one) => chip(`${one.field} ${written(one)}`, one.field, filterName(one), without(one)));
  if (S.like !== null) made.unshift(chip("like", "like", titles.get(S.like) || S.like, { like: null }));
  if (S.picked.length) made.push(chip("picked", "on the map", plural(S.picked.length, "document") + cut(), { picked: [] }));
  const all = () => go({ filters: [], like: null, picked: [] });
  if (made.length > 1) made.push(h("button.quiet", { key: "all", onclick: all }, "Clear all"));
  fill($("chips"), made);
  $("narrow").textContent = S.filters.length ? `Filters · ${S.filters.length}` : "Filters";
}

function refine() {  // but for a box that is typed in
  const made = Object.entries(facets || {}).map(facetBox).filter(Boolean), focus = document.activeElement;
  const typing = focus.matches(".range input") && focus.closest(".facet");
  const at = made.findIndex((one) => one.dataset.key === typing.dataset?.key);
  if (at < 0) return fill($("refine"), made.length ? [h("h2", "Narrow down"), h("div.facets", made)] : []);
  for (const old of [...typing.parentNode.children, ...typing.querySelectorAll("ul, p")]) if (old !== typing) old.remove();
  typing.append(...made[at].querySelectorAll("ul, p"));
  typing.before(...made.slice(0, at));
  typing.after(...made.slice(at + 1));
}

function facetBox([name, facet]) {
  const field = fieldOf(name), numeric = isNumeric(field), most = facet.values[0]?.documents;
  const plain = facet.values.filter(({ value }) => typeof value !== "object");
  const given = S.filters.filter((one) => one.field === name);
  const known = plain.map(({ value, documents }) => [{ field: name, value }, documents]);
  const missing = given.filter((one) => !one.range && !known.some(([other]) => sameFilter(one, other)));
  const rows = [...missing.map((one) => [one, 0]), ...known];
  if (!rows.length && !given.length) return null;
  // Of numbers that are nearly all different a range says more.
  const unlike = numeric && facet.others > 0 && most < 3;
  const [kind, title] = isCluster(name) ? ["section.facet.topics", "Topics"] : ["section.facet", name];
  return h(kind, { key: name }, h("h3", title), numeric && rangeBox(field),
    unlike ? null : h("ul", rows.map(([filter, documents]) => h("li", facetButton(filter, documents, most)))),
    !unlike && facet.others > 0 && h("p.count", `and ${plural(facet.others, "other")}`));
}

function facetButton(filter, documents, most) {
  const title = valueName(filter.field, filter.value), key = `${filter.field} ${written(filter)}`, share = documents / most;
  return h("button", { "aria-pressed": String(isOn(filter)), key, title, share, onclick: () => toggle(filter) },
    h("span.label", AUTO, title), h("span.count", number(documents)));
}

function rangeBox({ name, least, most }) {
  const now = S.filters.find((one) => one.field === name && one.range)?.range || [null, null];
  const ends = [["from", least], ["to", most]].map(([word, placeholder], i) => h("input", {
    type: "number", step: "any", placeholder, value: now[i], "aria-label": `${name} ${word}`, key: `${name} ${word}` }));
  const apply = () => {
    const range = ends.map(({ value }) => (value === "" ? null : Number(value))), given = range.some((end) => end !== null);
    const rest = S.filters.filter((one) => one.field !== name || !one.range);
    go({ filters: given ? [...rest, { field: name, range }] : rest });
  };
  return h("div.range", { onchange: apply }, ends[0], "–", ends[1]);
}

// -- pages, the start, nothing

const pageCount = (total) => Math.ceil(Math.min(total, MOST) / PAGE);

function pages({ total }) {
  const count = pageCount(total), { page } = S, near = [1, page - 1, page, page + 1, count];
  if (count < 2 || S.view === "map") return [];
  const to = (of, name, now) => (of < 1 || of > count ? h("span", name)
    : a("", { page: of }, { key: name, "aria-current": now && "page" }, name));
  const numbers = [...new Set(near)].filter((of) => of > 0 && of <= count);
  const made = numbers.map((of, i) => [of - numbers[i - 1] > 1 && h("span", "…"), to(of, String(of), of === page)]);
  const end = page === count && total > MOST && h("p", `The first ${number(MOST)}. Narrow the search to see others.`);
  return [h("div", to(page - 1, "Previous"), made, to(page + 1, "Next")), end];
}

function start(hits) {
  const row = (name, made) => made.length && h("section", h("h2", name), h("ul.tries", made.map((one) => h("li", one))));
  const titled = hits.filter((hit) => hit.title && hit.title.length < 50), step = Math.ceil(titled.length / 3);
  const words = info.clusters.slice(0, 4).map((cluster) => cluster.words.slice(0, 2).join(" "));
  const ways = "in your own words: by meaning, by the words themselves, or by both";
  return [
    h("div.hello", h("h1", AUTO, info.name),
      h("p", `${plural(info.documents, "document")}. Ask ${info.modes.length > 1 ? ways : "for words that they have"}.`)),
    row("Ask for", words.map((q) => a(".try", { q }, q))),
    row("Something like", titled.filter((_, i) => i % step === 0).map((hit) => a(".try", { like: hit.id }, AUTO, hit.title))),
    row("Where", info.examples.slice(0, 4).map((where) => a(".try.code", { where }, where))),
    row("Topics", info.clusters.slice(0, 18).map(({ number: value, name, documents }) => a(".try",
      { filters: [{ field: "cluster", value }] }, name, h("span.count", number(documents))))),
  ];
}

function nothing() {
  const mode = modeNow(), ways = [], add = (name, change) => ways.push(h("li", a(".try", change, name)));
  let why = narrowings() ? "No document meets the condition." : "The index holds no document yet.";
  if (S.page > 1) why = "There are not so many hits.";
  else if (said() && mode === "keywords") why = `No document has these words${narrowings() ? " and meets the condition" : ""}.`;
  else if (said() && !narrowings()) why = "The model knows none of these words, and no document has them.";
  if (said() && mode === "keywords" && info.modes.length > 1) add("Search by meaning", { mode: "meaning" });
  if (said() && mode === "meaning") add("Search by words", { mode: "keywords" });
  if (own()) add("Without the condition", { where: "" });
  if (S.filters.length + S.picked.length) add("Without the filters", { filters: [], picked: [] });
  if (asked() || narrowings()) add("To the start", { ...EMPTY, index: S.index });
  return [h("div.nothing", h("p.why", why), h("ul.tries", ways))];
}

// -- an opened document

const titles = new Map();  // of documents that were seen, by id
const narrow = matchMedia("(max-width: 999px)");
let opened = "", sheeted = null, reading = null, backTo = null;

const hitLink = (id) => [...$("hits").children].find((item) => item.dataset.id === id)?.querySelector("a");

/** Show the open document: at once what is known of it, then its whole text. */
function paper() {
  const box = $("paper"), key = S.open === null ? "" : JSON.stringify([S.index, S.open, request().q, S.like, S.mode]);
  if (key === opened) return;
  const focus = document.activeElement, inside = box.contains(focus);
  [opened, sheeted] = [key, null];
  reading?.abort();
  box.hidden = !key;
  inert();
  mark();
  if (!key) return inside || focus === document.body ? (hitLink(backTo) || $("q")).focus(STILL) : null;
  backTo = S.open;
  const known = around()[1];
  if (known) sheet(known, false);
  else fill(box, [sheetHead(S.open)]);
  box.scrollTop = 0;
  if (!inside) $("paper-title").focus(STILL);
  load(S.open, known);
}

async function load(id, known) {
  const { signal } = (reading = new AbortController()), { q, mode, like } = request();
  try {
    let found = known, notes = [];
    if (q || (like && like !== id)) {
      const body = { k: 1, where: `document.id = ${literal(id)}`, explain: true, ...(q ? { q, mode } : { like }) };
      const { results: [result] } = await call(`${indexPath()}/search`, { body, signal });
      [found, notes] = [result.hits[0], result.notes];
    }
    if (!found || found.text_cut) found = await call(`${indexPath()}/documents/${encodeURIComponent(id)}`, { signal });
    sheet({ ...found, snippet: known?.snippet, passage: found.passage ?? known?.passage }, true, notes);
  } catch (error) {
    if (signal.aborted) return;
    if (error.status === 401) return askKey();
    const text = error.status === 404 ? "This index has no such document." : sentence(error.message);
    $("paper").append(h("p.trouble", { role: "alert" }, text));
  }
}

function inert() {  // on a small screen the document lies over everything else
  const over = root.classList.toggle("over", narrow.matches && S.open !== null);
  for (const one of document.querySelectorAll("#top, #how, main > :not(#paper)")) one.inert = over;
}

/** The hits before, at and after the open document, and how many come before it; nothing where it is no hit. */
function around() {
  const hits = last?.result.hits || [], at = hits.findIndex((hit) => hit.id === S.open);
  return at < 0 ? [] : [hits[at - 1], hits[at], hits[at + 1], (S.page - 1) * PAGE + at];
}

function sheetHead(title, { place, trail } = {}) {
  const [before, now, next, at] = around();
  const tool = (title, picture, onclick, on) => h("button.tool",
    { "aria-label": title, title, key: title, onclick, disabled: !on }, icon(picture));
  return h("header",
    h("div.bar", h("span", now ? `${number(at + 1)} of ${number(last.result.total)}` : ""),
      tool("Previous hit", "left", () => turnTo(-1), before), tool("Next hit", "right", () => turnTo(1), next),
      tool("Close", "close", shut, true)),
    place && h("p.place", h("bdi", place)),
    h("h2", AUTO, { id: "paper-title", key: "title", tabindex: "-1" }, title),
    trail && h("p.soft", trail));
}

const shut = () => go({ open: null, page: S.page });

function sheet(hit, complete, notes = []) {
  const name = named(hit), title = name.title || hit.id;
  titles.set(hit.id, title);
  sheeted = [hit, complete, notes];
  fill($("paper"), [sheetHead(title, name),
    (S.like !== hit.id || said()) && a(".act", { like: hit.id, q: "" }, { key: "like" }, icon("like"), "More like this"),
    ...text(hit, complete), notes.map((note) => h("p.note", sentence(note))), strongest(hit), fieldList(hit)], $("paper"));
}

/** The text, its words shaded by what they contribute to the score; without contributions the words that were found. */
function text(hit, complete) {
  const [of, shift] = bodyOf(hit), words = (hit.words || []).filter((word) => word.start >= shift);
  const most = Math.max(...words.map((word) => Math.abs(word.contribution)));
  const level = (word) => Math.min(4, Math.round((4.6 * Math.abs(word.contribution)) / most));
  const counted = most > 0 ? words.filter((word) => level(word) > 0) : [];
  let spans = counted.map((word) => [word.start - shift, word.stop - shift, (piece) => h(
    `mark.${side(word.contribution)}.s${level(word)}`, { title: signed(word.contribution) }, piece)]);
  const [, before, found] = /^(… )?(.*?)…?$/s.exec(hit.snippet?.text || ""), at = found ? of.indexOf(found) : -1;
  if (!spans.length && at >= 0) {
    const move = [...of.slice(0, at)].length - (before ? 2 : 0);
    spans = marked(hit.snippet.marks?.map(([from, to]) => [from + move, to + move]));
  }
  const more = (name, rest) => h("details", h("summary", name), h("div.text", AUTO, rest));
  const cut = part(letters(of), 0, LONG), long = cut.length < of.length;
  const split = complete && hit.passage && hit.text !== hit.passage, against = counted.some((word) => word.contribution < 0);
  return [
    counted.length && h("p.legend", h("mark.for.s4", "speaks for"), h("mark.for.s1", "a little"),
      against && h("mark.against.s2", "speaks against")),
    h("div.text", AUTO, woven(cut, spans.filter((span) => span[1] < LONG)), !complete && hit.text_cut && "…"),
    long && more(`${number(of.length - cut.length)} more characters`, of.slice(cut.length)),
    split && more("The whole text", hit.text),
  ];
}

const side = (value) => (value > 0 ? "for" : "against");
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;

/** The same in numbers: what the words that count most add. */
function strongest(hit) {
  const sums = new Map();
  for (const { word, contribution } of hit.words || []) {
    const name = word.toLowerCase();
    if (/[\p{L}\p{N}]/u.test(name)) sums.set(name, (sums.get(name) || 0) + contribution);
  }
  const most = [...sums].sort((one, other) => Math.abs(other[1]) - Math.abs(one[1])).slice(0, 6);
  return most.length && h("section.strongest", h("h3", "What counts most"), h("ul", most.map(([word, sum]) => h("li",
    h("span.label", AUTO, word), h(`i.${side(sum)}`, { share: Math.abs(sum / most[0][1]) }), h("span.count", signed(sum))))));
}

function fieldList(hit) {
  const narrowing = new Set(facetFields());
  const one = (field, value) => {
    const name = valueName(field, value), filter = { field, value };
    if (/^https?:\/\/\S+$/.test(value)) return h("a", { href: value, rel: "noreferrer", target: "_blank" }, value);
    if (typeof value === "object" || !narrowing.has(field) || name.length > 80) return h("span", AUTO, name);
    return h("button.value", { dir: "auto", "aria-pressed": String(isOn(filter)), onclick: () => toggle(filter) }, name);
  };
  const hidden = [info.title, isFile(hit) && "heading"];
  const rows = Object.entries(hit.fields).filter(([field, value]) => shown(value ?? "") && !hidden.includes(field));
  if ((hit.cluster ?? -1) >= 0 && !("cluster" in hit.fields)) rows.push(["cluster", hit.cluster]);
  const made = rows.map(([field, value]) => [field, [value].flat().slice(0, 60).map((each) => one(field, each))]);
  if (!isFile(hit)) made.push(["id", h("span.id", hit.id)]);
  return h("dl.fields", made.map(([name, values]) => h("div", h("dt", name), h("dd", values))));
}

function mark() {
  for (const item of $("hits").children) {
    item.classList.toggle("open", item.dataset.id === S.open);
    item.setAttribute("aria-current", item.dataset.id === S.open);
  }
}

function turnTo(step) {
  const next = around()[1 + step];
  if (!next) return;
  go({ open: next.id, page: S.page }, { step: true });
  reveal(hitLink(next.id));
}

const reveal = (link) => link?.closest("li").scrollIntoView({ block: "nearest" });

// -- the map

let frame = null, framed = "", ready = false, chosen = 0;
const cut = () => (chosen > S.picked.length ? ` of ${number(chosen)}` : "");

/** Show the map, or that it is being made. */
async function plane() {
  const path = `${indexPath()}/map`, box = $("plane");
  box.hidden = S.view !== "map";
  if (box.hidden || framed === path) return;
  [framed, ready] = [path, false];
  box.replaceChildren(h("p.note", "The map is being made"));
  try {
    await call(path, { method: "HEAD" });
    if (framed === path) box.replaceChildren(frame = h("iframe", { src: path, title: "Map of the documents" }));
  } catch (error) {
    framed = "";
    if (error.status === 503) setTimeout(plane, 1000 * error.wait);
    else box.firstChild.textContent = sentence(error.message);
  }
}

function highlight() {
  if (!ready || S.view !== "map" || !last) return;
  const all = S.picked.length && !asked() ? S.picked : last.result.hits.map((hit) => hit.id);
  const ids = asked() || narrowings() ? all : null;
  frame.contentWindow.postMessage({ type: "vecsearch:highlight", ids, dark: isDark() }, location.origin);
}

addEventListener("message", ({ origin, source, data }) => {
  if (origin !== location.origin || source !== frame?.contentWindow) return;
  if (data?.type === "vecsearch:ready") {
    ready = true;
    highlight();
  } else if (data?.type === "vecsearch:open") go({ open: String(data.id) });
  else if (data?.type === "vecsearch:select" && (data.ids.length || S.picked.length)) {
    let room = ROOM;
    chosen = data.ids.length;
    go({ picked: data.ids.map(String).filter((id) => (room -= literal(id).length + 2) > 0) });
  }
});

// -- the key, the index

function askKey() {
  const input = h("input", { type: "password", id: "key", autocomplete: "off", required: true });
  const take = (event) => {
    event.preventDefault();
    apiKey(input.value.trim());
    begin();
  };
  root.classList.remove("begun");
  $("start").replaceChildren(h("form.key", { onsubmit: take }, h("h1", "This service needs a key"),
    h("label", { for: "key" }, apiKey() ? "That key was not taken. API key" : "API key"),
    h("div", input, h("button.main", { type: "submit" }, "Continue")),
    h("p.soft", "It is kept in this tab until you close it.")));
  input.focus();
}

function choices(group, options, act) {
  const box = $(group), made = options.map(([value, name, title]) => h("label", { title },
    h("input", { type: "radio", name: group, value, onchange: () => act(value) }), h("span", name)));
  box.replaceChildren(...made);
  box.hidden = options.length < 2;
}

/** Below the conditions: examples, fields. */
function examples() {
  const about = (field) => `${field.name} (${isNumeric(field) ? `${field.least} – ${field.most}` : field.kinds.join(", ")})`;
  const use = (where) => { $("where").focus(); go({ where }); };
  $("where").placeholder = info.examples[0] || "a condition on the fields";
  $("examples").replaceChildren(
    h("p.tries", info.examples.map((where) => h("button.try.code", { onclick: () => use(where) }, where))),
    h("p.soft", `Fields: ${info.fields.slice(0, 20).map(about).join(", ")}`));
}

/** What there is to know of the index; of its fields first numbers, then few values. */
async function details() {
  const found = await call(indexPath()), rank = (field) => (isNumeric(field) ? 0 : 1 + field.values);
  found.fields.sort((one, other) => rank(one) - rank(other));
  return found;
}

async function begin() {
  try {
    ({ indexes } = await call("v1/indexes"));
    await enter();
  } catch (error) { failed(error, begin); }
}

const NAMES = {
  hybrid: ["Both", "By meaning and by words together"],
  meaning: ["Meaning", "By what texts mean"],
  keywords: ["Words", "By the words themselves"],
};

async function enter() {
  S = fromAddress();
  S.index ||= indexes[0].name;
  const of = S.index, found = await details();
  if (of !== S.index) return;
  [info, last, lastKey, facets, facetKey, opened] = [found, null, "", null, "", ""];
  root.classList.add("begun");
  $("q").placeholder = `Search ${plural(info.documents, "document")}`;
  choices("modes", info.modes.map((one) => [one, ...NAMES[one]]), (mode) => go({ mode: mode === info.modes[0] ? "" : mode }));
  choices("views", info.map ? [["list", "List"], ["map", "Map"]] : [], (view) => go({ view, open: S.open }));
  const other = (event) => {
    history.pushState(null, "", address({ ...EMPTY, index: event.target.value }));
    enter().catch((error) => failed(error, begin));
  };
  const options = indexes.map(({ name }) => h("option", { value: name, selected: name === S.index }, name));
  const chooser = h("select", { "aria-label": "Index", key: "which", onchange: other }, options);
  fill($("which"), [indexes.length > 1 ? chooser : h("small", S.index)]);
  examples();
  update();
}

// -- keys and what is typed

function arrows(event, step) {
  const links = [...$("hits").querySelectorAll("a")], had = document.activeElement, at = links.indexOf(had), q = $("q");
  if (at < 0 && (step < 0 || ![q, document.body].includes(had))) return;
  event.preventDefault();
  const next = links[at + step];
  (next || (step < 0 ? q : had)).focus(STILL);
  reveal(next);
}

function escape() {
  if (S.open !== null) return shut();
  if (document.activeElement === $("q") && S.q) return go({ q: "" });
  $("q").focus();
}

function toBox() {
  if (narrow.matches && S.open !== null) shut();
  $("q").focus();
  $("q").select();
}

function pressed(event) {
  const { key, target } = event, control = event.ctrlKey || event.metaKey, moves = /^Arrow(Up|Down|Left|Right)$/.exec(key)?.[1];
  if (!info || event.isComposing || event.altKey || $("keys").open || (control && key !== "k")) return;
  const writing = target.closest("input, select");
  if (/Up|Down/.test(moves)) return !writing || writing.id === "q" ? arrows(event, moves === "Down" ? 1 : -1) : null;
  if (writing && !control && key !== "Escape") return;
  if (moves) return S.open === null ? null : turnTo(moves === "Right" ? 1 : -1);
  const act = { Escape: escape, k: control && toBox, "/": toBox, "?": () => $("keys").showModal() }[key];
  if (!act) return;
  event.preventDefault();
  act();
}

/** A box whose text is a part of the state once typing rests, or goes on for long. */
function follows(id, rest, change) {
  const box = $(id);
  let timer = 0, since = 0;
  const take = () => {
    since = 0;
    if (info && box.value !== S[id]) go(change(box.value), { typing: true });
  };
  box.addEventListener("input", () => {
    since ||= Date.now();
    clearTimeout(timer);
    timer = setTimeout(take, Math.min(rest, since + 3 * rest - Date.now()));
  });
}

document.addEventListener("DOMContentLoaded", () => {
  const on = (id, event, act) => $(id).addEventListener(event, act);
  const tell = () => {
    $("theme").setAttribute("aria-pressed", isDark());
    highlight();
  };
  follows("q", TYPING, (q) => ({ q, like: q.trim() ? null : S.like }));
  follows("where", CONDITION, (where) => ({ where }));
  on("clear", "click", () => { $("q").focus(); go({ q: "" }); });
  on("help", "click", () => $("keys").showModal());
  on("keys", "click", ({ target }) => { if (target.matches("dialog, button")) $("keys").close(); });
  on("brand", "click", (event) => {
    if (!info || !isPlain(event)) return;
    event.preventDefault();
    go({ ...EMPTY, index: S.index });
  });
  on("narrow", "click", () => $("narrow").setAttribute("aria-expanded", root.classList.toggle("narrowing")));
  on("theme", "click", () => {
    kept(THEME, root.dataset.theme = isDark() ? "light" : "dark");
    tell();
  });
  night.addEventListener("change", tell);
  narrow.addEventListener("change", inert);
  document.addEventListener("keydown", pressed);
  addEventListener("popstate", () => {
    const state = fromAddress();
    if (!info || (state.index || indexes[0].name) !== S.index) return begin();
    S = { ...state, index: S.index };
    typed = 0;
    returning = true;
    update();
    returning = false;
  });
  tell();
  begin();
});
