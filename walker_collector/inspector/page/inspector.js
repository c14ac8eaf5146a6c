// The page of the inspector: figures and events as they come, and questions when they are asked.
// The token comes in the fragment of the address, which no server sees, and stays in this tab.

const $ = (id) => document.getElementById(id);
const VIEWS = ["live", "held", "dead", "rules", "people", "sources"];
const KEPT = 100;      // events in the list
const LONGEST = 300;   // seconds that a line shows at most
const SMOOTH = 5;      // looks that a rate is the mean of
const SILENT = 6000;   // ms without any figures after which the collector does not answer
const SVG = "http://www.w3.org/2000/svg";
const OUTCOMES = {
  delivered: ["good", "delivered"], notified: ["good", "notified"], held: ["warn", "held"],
  ignored: ["", "ignored"], empty: ["", "nothing to send"], dropped: ["warn", "dropped"],
  retry: ["warn", "to be retried"], waiting: ["info", "waiting"], dead: ["bad", "dead"],
  deleted: ["", "deleted"], erased: ["", "erased"], unknown: ["", "unknown"],
};
const STATES = { ready: ["good", "ready"], idle: ["", "idle"], failing: ["warn", "failing"], down: ["bad", "down"], unattended: ["bad", "unattended"], stopped: ["bad", "stopped"] };

const state = { token: "", values: false, paused: false, view: "", figures: null, history: [], samples: [], held: [], stream: null, heard: 0, lost: false, erased: false, refilling: false, reopen: new Set() };

// --- elements -----------------------------------------------------------------------------

function h(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key === "on") for (const [name, handler] of Object.entries(value)) element.addEventListener(name, handler);
    else if (key === "class") element.className = value;
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

const badge = ([kind, text]) => h("span", { class: `badge ${kind}` }, text);
const outcome = (name) => badge(OUTCOMES[name] ?? ["", name]);
const facts = (pairs, kind = "facts") => h("dl", { class: kind }, pairs.filter((pair) => pair[1] !== null && pair[1] !== undefined && pair[1] !== "")
  .map(([name, value]) => (kind === "facts" ? h("div", {}, h("dt", {}, name), h("dd", {}, value)) : [h("dt", {}, name), h("dd", {}, value)])));
const json = (value, name) => h("pre", { tabindex: "0", role: "group", "aria-label": name }, JSON.stringify(value, null, 2));

// --- words --------------------------------------------------------------------------------

const count = (value) => Number(value ?? 0).toLocaleString("en");
const plural = (value, word) => `${count(value)} ${word}${value === 1 ? "" : "s"}`;
const rate = (value) => (value >= 100 ? count(Math.round(value)) : value >= 10 ? value.toFixed(0) : value > 0 ? value.toFixed(1) : "0");
const ms = (value) => (value === null || value === undefined ? "–" : value >= 1000 ? `${(value / 1000).toFixed(1)} s` : value >= 10 ? `${value.toFixed(0)} ms` : `${value.toFixed(1)} ms`);
const clock = (at) => new Date(at).toLocaleTimeString("en-GB");
const day = (at) => (new Date(at).toDateString() === new Date().toDateString() ? clock(at) : `${new Date(at).toLocaleDateString("en-CA")} ${clock(at)}`);
const person = (item) => (item.person ? item.person.replace(/^id:/, "") : item.outcome === "ignored" || item.outcome === "dropped" ? "–" : "nobody");
const named = (item) => person(item) + (item.claimed ? ", as a sender says that is not trusted" : "");

function duration(seconds) {
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) if (seconds >= length) return `${(seconds / length).toFixed(1)} ${unit}`;
  return `${seconds.toFixed(seconds < 10 && seconds > 0 ? 1 : 0)} s`;
}

function needs(missing) {
  if (!missing || !missing.required.length) return "consent";
  const keys = missing.required.length > 1 ? `${missing.mode === "all" ? "all" : "any"} of ${missing.required.join(", ")}` : missing.required[0];
  return `consent to ${keys}`;
}

function stated(item) {
  const yes = item.granted ? "granted" : "denied";
  return `${item.key}: ` + ({
    event: `${yes} by the event itself`,
    person: `${yes} by the person${item.at ? ` at ${day(item.at)}` : ""}`,
    default: `${yes} by default; the person has said nothing`,
    claim: "granted by a sender that is not trusted, which does not count here",
    nobody: "nobody has said anything",
  }[item.by] ?? yes);
}

// --- talking to the collector -------------------------------------------------------------

const headers = () => ({ Authorization: `Bearer ${state.token}` });

async function ask(name, body = {}) {
  const response = await fetch(`api/${name}`, {
    method: "POST", headers: { ...headers(), "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, ...(state.values ? { values: true } : {}) }),
  }).catch(() => {
    lose();
    throw new Error("the collector does not answer");
  });
  const answer = await response.json().catch(() => ({}));
  if (response.status === 401) lock("The token is wrong, or the collector was started again since.");
  if (!response.ok) throw new Error(answer.error ?? `the answer was ${response.status}`);
  return answer;
}

async function listen() {
  state.stream?.abort();
  const stream = state.stream = new AbortController();
  for (let wait = 500; !stream.signal.aborted; wait = Math.min(wait * 2, 2000)) {
    try {
      const response = await fetch(`api/events${state.values ? "?values=1" : ""}`, { headers: headers(), signal: stream.signal });
      if (response.status === 401) return lock(state.token ? "The token is wrong, or the collector was started again since." : "");
      if (!response.ok) throw new Error((await response.json()).error);
      wait = 500;
      find();
      await read(response.body.getReader());
    } catch (error) {
      if (stream.signal.aborted) return;
    }
    if (stream.signal.aborted) return;
    lose();
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

// What was shown last is no longer so: it must not look like news.
function lose() {
  if (state.lost || !state.token) return;
  state.lost = true;
  document.body.classList.add("lost");
  show("link", "off", "Lost");
  $("lost").hidden = false;
  $("lost").textContent = `The collector does not answer; trying again. Nothing was heard of it since ${day(state.heard)}; what is shown is of that time.`;
}

function find() {
  state.heard = Date.now();
  if (!state.lost && $("link").classList.contains("on")) return;
  show("link", "on", "Live");
  const wasLost = state.lost;
  forgetLoss();
  if (wasLost) open(state.view);
}

function forgetLoss() {
  state.lost = false;
  document.body.classList.remove("lost");
  $("lost").hidden = true;
}

async function read(reader) {
  const decoder = new TextDecoder();
  for (let buffer = ""; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    find();
    buffer += decoder.decode(value, { stream: true });
    for (let end; (end = buffer.indexOf("\n\n")) >= 0; buffer = buffer.slice(end + 2)) {
      const [, name, data] = /^event: (\w+)\ndata: ([^]*)$/.exec(buffer.slice(0, end)) ?? [];
      if (name) RECEIVE[name]?.(JSON.parse(data));
    }
  }
}

const RECEIVE = {
  cleared() {  // somebody was erased, whom these may name
    state.samples = [];
    state.held = [];
    state.erased = true;
    redraw();
    drawPause();
    empty();
    LOAD[state.view]?.().catch(() => {});
    if (state.view === "people" && $("person").children.length) search();
  },
  hello(hello) {
    $("flow").textContent = hello.flow;
    $("values").hidden = !hello.mayShowValues;
    state.history = hello.history;
    state.samples = [];
    state.held = [];
    redraw();
  },
  figures(figures) {
    if (figures.point) state.history = [...state.history, figures.point].slice(-LONGEST);
    state.figures = figures;
    drawFigures();
  },
  samples(samples) {
    loaded.changed = true;
    if (state.paused && !state.refilling) { state.held = [...state.held, ...samples].slice(-KEPT); drawPause(); } else add(samples);
    state.refilling = false;
  },
};

// --- live ---------------------------------------------------------------------------------

const mean = (values) => (values.length ? values.reduce((a, b) => a + b, 0) / values.length : 0);
const pointsOf = (id) => state.history.filter((point) => point.destinations[id]);

function means(id) {
  const values = pointsOf(id).map((point) => point.destinations[id].delivered);
  return values.map((_, at) => mean(values.slice(Math.max(0, at - SMOOTH + 1), at + 1)));
}

const sum = (items, key) => items.reduce((total, item) => total + item[key], 0);

function drawFigures() {
  const { figures } = state, items = figures.destinations;
  const delivered = items.reduce((total, item) => total + (means(item.id).at(-1) ?? 0), 0);
  const accepted = mean(state.history.slice(-SMOOTH).map((each) => each.accepted));
  const [waiting, held, dead] = ["waiting", "held", "dead"].map((key) => sum(items, key));
  const tile = (name, value, unit = "", kind = "") => h("div", { class: kind }, h("dt", {}, name), h("dd", {}, value, unit && h("small", {}, unit)));
  $("tiles").replaceChildren(
    tile("Accepted", rate(accepted), "/ s"), tile("Delivered", rate(delivered), "/ s"),
    tile("Waiting", count(waiting)), tile("Held", count(held), "", held ? "warn" : ""), tile("Dead letters", count(dead), "", dead ? "bad" : ""),
  );
  $("count-held").textContent = held ? count(held) : "";
  $("count-dead").textContent = dead ? count(dead) : "";
  $("unready").hidden = !figures.unready;
  $("unready").textContent = figures.unready ? `New events are refused: ${figures.unready}` : "";
  if (state.view === "live") $("destinations").replaceChildren(...items.map(card));
  if (["held", "dead"].includes(state.view)) follow(state.view, `${held} ${dead}`);
  if (state.view === "rules") drawRules();
  if (state.view === "sources") drawSources();
  $("skipped").textContent = figures.skipped ? `More events come than anybody can read: ${count(figures.skipped)} are counted, not listed.` : "";
}

// Load a list again once something has happened, a long one seldom; but not while somebody reads in it.
const loaded = { changed: false, at: 0, numbers: "" };
function follow(view, numbers) {
  const list = $(`${view}-list`), wait = list.children.length > 50 ? 10000 : 1500;
  loaded.changed ||= loaded.numbers !== numbers;
  loaded.numbers = numbers;
  if (!loaded.changed || Date.now() < loaded.at + wait || list.contains(document.activeElement) || list.querySelector("details[open]")) return;
  LOAD[view]().catch(() => {});
}

function card(item) {
  return h("article", { class: "card" },
    h("div", { class: "title" }, h("h3", {}, item.id), badge(STATES[item.state] ?? ["", item.state])),
    item.reason && h("p", { class: "why" }, item.reason),
    ...line(item.id),
    facts([
      ["Delivered", `${rate(means(item.id).at(-1) ?? 0)} / s`], ["Waiting", count(item.waiting)], ["Oldest", item.waiting ? duration(item.oldestAge / 1000) : "–"],
      ["Held", count(item.held)], ["Dead letters", count(item.dead)], ["One call", item.call ? ms(item.call) : "–"],
    ]),
    h("p", { class: "foot" }, [
      item.delivered !== null && `${count(item.delivered)} delivered`, item.retrying && `${count(item.retrying)} retrying`, item.consent.length && `needs consent to ${item.consent.join(", ")}`,
      item.breaker.open && "breaker open", item.nextAttempt > Date.now() && `next attempt at ${day(item.nextAttempt)}`,
    ].filter(Boolean).join(" · ")));
}

function line(id) {
  const points = pointsOf(id), values = means(id), now = points.at(-1)?.at ?? 0;
  const span = Math.min(LONGEST, Math.max(60, points.length ? (now - points[0].at) / 1000 : 0));
  const top = Math.max(1, ...values), x = (point) => span - (now - point.at) / 1000, y = (value) => 38 - (value / top) * 35;
  const shape = points.map((point, at) => `${x(point).toFixed(1)},${y(values[at]).toFixed(1)}`);
  const image = svg("svg", { class: "spark", viewBox: `0 0 ${span} 40`, preserveAspectRatio: "none", role: "img",
    "aria-label": `Delivered per second in the last minutes: now ${rate(values.at(-1) ?? 0)}, at most ${rate(Math.max(0, ...values))}` });
  image.append(svg("line", { class: "base", x1: 0, y1: 38.5, x2: span, y2: 38.5 }));
  if (points.length > 1) {
    image.append(svg("polygon", { class: "area", points: `${x(points[0]).toFixed(1)},38 ${shape.join(" ")} ${span},38` }));
    image.append(svg("polyline", { class: "line", points: shape.join(" ") }));
  }
  for (const point of points) {
    const { retried, died } = point.destinations[id];
    if (retried + died) image.append(svg("line", { class: "fault", x1: x(point), y1: 34, x2: x(point), y2: 40 }));
  }
  return [image, h("p", { class: "span" }, h("span", {}, span > 90 ? `${Math.round(span / 60)} min ago` : "1 min ago"), h("span", {}, `up to ${rate(Math.max(0, ...values))} / s`))];
}

function add(samples) {
  state.samples = [...samples.toReversed(), ...state.samples].slice(0, KEPT);
  const list = $("events");
  const rows = samples.slice(-KEPT).toReversed().filter(matches).map((item) => row(item, true));
  list.prepend(...rows);
  reopen(list);
  while (list.children.length > KEPT) list.lastChild.remove();
  drawNone();
}

function drawNone() {
  const seen = state.samples.length, all = !$("filter").value.trim() && !$("outcome").value;
  $("no-events").hidden = $("events").children.length > 0;
  $("no-events").textContent = !seen ? (state.erased ? "The list was emptied, as a person was erased whom it may have named. New events appear here." : "No event yet. Send one, and it appears here.")
    : all ? `The latest ${plural(seen, "event")} here were ignored. Choose “All outcomes” to see them.` : `None of the latest ${plural(seen, "event")} here matches the filter.`;
}

// --- what is open stays open ---------------------------------------------------------------

const openKeys = (list) => [...list.querySelectorAll("details[open][data-key]")].map((item) => item.dataset.key);

function reopen(list) {
  if (!state.reopen.size) return;
  for (const item of list.querySelectorAll("details[data-key]")) if (state.reopen.delete(item.dataset.key)) item.open = true;
}

function refill(list, ...children) {
  state.reopen = new Set([...state.reopen, ...openKeys(list)]);
  list.replaceChildren(...children);
  reopen(list);
}

// Views that are not looked at keep nothing, which might be shown later as if it were so still.
function empty(but = "") {
  for (const view of ["held", "dead"]) if (view !== but) $(`${view}-list`).replaceChildren();
}

function matches(item) {
  const text = $("filter").value.trim().toLowerCase(), wanted = $("outcome").value;
  return (wanted === "all" || item.outcome === wanted || (!wanted && item.outcome !== "ignored")) && (!text || `${item.event} ${item.person} ${item.destination} ${item.id} ${item.rule ?? ""}`.toLowerCase().includes(text));
}

function row(item, isNew = false) {
  const details = h("details", { "data-key": `event ${item.number} ${item.id} ${item.destination}` }, h("summary", {},
    h("time", { datetime: new Date(item.at).toISOString() }, clock(item.at)), h("span", { class: "name" }, item.event),
    h("span", { class: "who" }, person(item)), h("span", { class: "where" }, item.destination),
    h("span", { class: "out" }, outcome(item.outcome)), h("span", { class: "took" }, item.attempt ? ms(item.took) : "")));
  details.addEventListener("toggle", () => { if (details.open && details.children.length < 2) details.append(detail(item)); });
  return h("li", { class: isNew ? "new" : "", "data-id": item.id }, details);
}

function detail(item) {
  const consent = item.consent.length ? h("ul", { class: "said" }, item.consent.map((grant) => h("li", {}, `${grant.key}: ${grant.granted ? "granted" : "denied"} by the ${grant.source}`))) : "none said or needed";
  const missing = item.missing && h("span", {}, `needs ${needs(item.missing)}`, h("ul", { class: "said" }, item.missing.statements.map((one) => h("li", {}, stated(one)))));
  return h("div", { class: "detail" },
    facts([
      ["Outcome", outcome(item.outcome)], ["Why", missing ?? item.reason], ["Event id", h("span", { class: "mono" }, item.id)], ["Person", named(item)],
      ["Rule", item.rule ?? (item.attempt ? "none matches" : null)], ["Consent", consent],
      ["Attempt", item.attempt || null], ["Call took", item.attempt ? ms(item.took) : null], ["Since accepted", item.age ? ms(item.age) : null],
    ], "plain"),
    h("div", { class: "sent" },
      item.calls?.length > 0 && [h("h3", {}, plural(item.calls.length, "call")), json(item.calls, "The calls of the destination")],
      h("h3", {}, "The event as the destination got it"), item.sent === null ? h("p", { class: "soft" }, item.attempt ? "Too long to show." : "Nothing was sent.") : json(item.sent, "The event as the destination got it")));
}

function redraw() {
  refill($("events"), ...state.samples.filter(matches).map((item) => row(item)));
  drawNone();
}

function drawPause() {
  const button = $("pause");
  button.setAttribute("aria-pressed", state.paused);
  button.textContent = state.paused ? `Resume${state.held.length ? ` (${state.held.length} new)` : ""}` : "Pause";
}

// --- held, dead letters, rules, sources ---------------------------------------------------

const LOAD = {
  async held() {
    Object.assign(loaded, { changed: false, at: Date.now() });
    const { groups, complete } = await ask("held");
    refill($("held-list"), ...groups.map(heldGroup), ...(complete ? [] : [h("p", { class: "note" }, "Only the oldest ones are listed.")]));
    if (!groups.length) $("held-list").append(h("p", { class: "empty" }, "Nothing is held."));
  },
  async dead() {
    Object.assign(loaded, { changed: false, at: Date.now() });
    const { reasons } = await ask("dead");
    refill($("dead-list"), ...reasons.map(reasonCard));
    if (!reasons.length) $("dead-list").append(h("p", { class: "empty" }, "There are no dead letters."));
  },
  rules: drawRules,
  sources: drawSources,
};

function heldGroup(group) {
  const look = group.person && h("a", { href: "#/people", on: { click: () => lookUp(group.person) } }, person(group));
  return h("article", { class: "card" },
    h("div", { class: "title" }, h("h2", {}, look || "nobody"), badge(["warn", `${count(group.count)} held`])),
    h("p", { class: "reason" }, `${group.destination} needs ${needs(group.missing)}${group.missing?.rule ? ` (rule ${group.missing.rule})` : ""}`),
    group.missing && h("ul", { class: "said soft" }, group.missing.statements.map((one) => h("li", {}, stated(one))), group.missing.deniedForGood && h("li", {}, "The event itself says no, which no later grant changes.")),
    h("p", { class: "sub" }, `Oldest since ${day(group.oldest)}`),
    h("details", { class: "more", "data-key": `held ${group.destination} ${group.person} ${needs(group.missing)}` }, h("summary", {}, plural(group.count, "event")),
      h("ol", { class: "letters" }, group.events.map((item) => h("li", { class: "sub line" }, h("span", { class: "name" }, item.event), h("span", {}, day(item.at)), h("span", { class: "mono" }, item.id)))),
      group.count > group.events.length && h("p", { class: "note" }, `and ${count(group.count - group.events.length)} more`)));
}

function reasonCard(reason) {
  const which = { destination: reason.destination, reason: reason.reason }, all = plural(reason.count, "dead letter");
  const period = reason.first === reason.last ? day(reason.first) : `${day(reason.first)} to ${day(reason.last)}`;
  return h("article", { class: "card" },
    h("div", { class: "title" }, h("h2", {}, reason.destination), badge(["bad", count(reason.count)])),
    h("p", { class: "reason" }, reason.reason), h("p", { class: "sub" }, period),
    h("div", { class: "row" },
      h("button", { type: "button", on: { click: () => replay(which, all, reason.messages, reason.count > 1) } }, reason.count > 1 ? `Replay all ${count(reason.count)}` : "Replay"),
      h("button", { type: "button", class: "danger", on: { click: () => remove(which, all) } }, reason.count > 1 ? `Delete all ${count(reason.count)}` : "Delete")),
    h("ol", { class: "letters" }, reason.letters.map((letter) => letterRow(letter, reason))),
    reason.count > reason.letters.length && h("p", { class: "note" }, `and ${count(reason.count - reason.letters.length)} more`));
}

function letterRow(letter, reason) {
  const which = { destination: letter.destination, seq: letter.seq }, parts = Object.entries(letter.parts);
  return h("li", { "data-id": letter.id }, h("details", { "data-key": `dead ${letter.destination} ${letter.seq}` },
    h("summary", {}, h("span", { class: "name" }, letter.event), h("span", {}, person(letter)), h("span", { class: "soft" }, day(letter.died)), h("span", { class: "soft" }, plural(letter.attempts, "attempt"))),
    h("div", { class: "body" },
      h("p", { class: "sub" }, h("span", { class: "mono" }, letter.id), h("span", {}, `accepted ${day(letter.accepted)}`), parts.map(([part, is]) => h("span", {}, `${part}: ${is}`))),
      json(letter.payload, "The event"),
      h("div", { class: "row" },
        h("button", { type: "button", class: "main", on: { click: () => replay(which, "the event", reason.messages, false) } }, "Replay"),
        h("button", { type: "button", class: "danger", on: { click: () => remove(which, "this dead letter") } }, "Delete")))));
}

async function replay(which, what, messages, confirms) {
  let withoutMessages = false;
  if (confirms || messages) {
    const answer = await confirm("Deliver again?", `The destination gets ${what} again. Parts that are done are left out; a part that was begun may happen twice.`, "Replay", messages ? "Leave out messages to people" : "");
    if (!answer) return;
    withoutMessages = answer.checked;
  }
  await act("replay", { ...which, withoutMessages }, (answer) => `${plural(answer.events, "event")} on the way again`);
}

async function remove(which, what) {
  if (await confirm("Delete for good?", `This deletes ${what}, without a delivery. Nothing brings it back.`, "Delete", "", true)) {
    await act("delete", which, (answer) => `${plural(answer.events, "dead letter")} deleted`);
  }
}

async function act(name, body, words) {
  try {
    toast(words(await ask(name, body)));
  } catch (error) {
    toast(`It did not work: ${error.message}`);
  }
  await open(state.view);
  ($(`${state.view}-title`) ?? $("main")).focus();
}

function drawRules() {
  const { figures } = state;
  if (!figures) return;
  $("rules-since").textContent = `Events that each rule was for, counted since ${day(figures.since)}, while this page is open.`;
  $("rules-rows").replaceChildren(...figures.rules.map((rule) => h("tr", {},
    h("td", {}, rule.destination),
    h("td", {}, rule.rule ?? h("i", { class: "soft" }, "no rule matches"), rule.ignores && " ", rule.ignores && badge(["", "ignores"])),
    h("td", { class: "number", "data-unit": rule.hits === 1 ? "hit" : "hits" }, count(rule.hits)),
    h("td", {}, rule.last ? day(rule.last) : rule.rule ? badge(["", "never matched"]) : "–"))));
  if (!figures.rules.length) $("rules-rows").append(h("tr", {}, h("td", { colspan: "4" }, "No destination has rules: events go out as they are.")));
}

function drawSources() {
  const { figures } = state;
  if (!figures) return;
  const list = (counts) => Object.entries(counts).map(([key, value]) => `${key}: ${count(value)}`).join(", ") || "–";
  $("sources-list").replaceChildren(...figures.sources.map((source) => h("article", { class: "card" },
    h("h2", {}, source.id),
    facts([["Events accepted", count(source.accepted)], ["Requests", count(source.requests)], ["Refused", count(Object.values(source.refused).reduce((a, b) => a + b, 0))],
      ["By status", list(source.statuses)], ["By reason", list(source.refused)]]))));
  if (!figures.sources.length) $("sources-list").append(h("p", { class: "empty" }, "No source has brought anything yet."));
}

// --- people -------------------------------------------------------------------------------

function lookUp(key) {
  const [, kind, value] = /^(id|device|session):([^]*)$/.exec(key) ?? [];
  if (!kind) return;
  $("kind").value = kind;
  $("key").value = value;
  search();
}

async function search() {
  const user = { [$("kind").value]: $("key").value };
  if (!$("key").value) return;
  try {
    refill($("person"), personCard(await ask("person", { user }), user));
  } catch (error) {
    $("person").replaceChildren(h("p", { class: "error" }, error.message));
  }
}

function personCard(found, user) {
  if (!found.known) return h("p", { class: "empty" }, `Nothing is known of ${found.named.join(", ")}.`);
  const { waiting = 0, held = 0, dead = 0 } = found.counts, name = Object.values(user)[0];
  return h("article", { class: "card" },
    h("div", { class: "title" }, h("h2", {}, name), h("button", { type: "button", class: "danger", id: "forget", on: { click: () => forget(user, name, found) } }, "Forget…")),
    facts([["Waiting", count(waiting)], ["Held", count(held)], ["Dead letters", count(dead)]]),
    h("div", {}, h("h3", {}, "Known as"), h("p", { class: "mono" }, found.identifiers.join(", ")), found.claimed.length > 0 && h("p", { class: "soft" }, `claimed by senders that are not trusted: ${found.claimed.join(", ")}`)),
    h("div", {}, h("h3", {}, "Consent"), found.consent.length ? h("ul", { class: "said" }, found.consent.map((item) => h("li", {}, badge(item.granted ? ["good", "granted"] : ["bad", "denied"]), ` ${item.key} at ${day(item.at)}, by ${item.origin === "event" ? "an event" : "a statement"}${item.claimed ? " of a sender that is not trusted" : ""}`)))
      : h("p", { class: "soft" }, "The person has said nothing.")),
    h("div", {}, h("h3", {}, "Events here"), found.events.length ? h("ol", { class: "letters" }, found.events.map((event) => h("li", {}, h("details", { "data-key": `person ${event.id}` },
      h("summary", {}, h("span", { class: "name" }, event.event), h("span", { class: "soft" }, day(event.accepted)), event.deliveries.map((item) => h("span", {}, `${item.destination} `, outcome(item.status)))),
      h("div", { class: "body" }, event.deliveries.map((item) => h("p", { class: "sub" }, `${item.destination}: ${item.consent ? `needs ${needs(item.consent)}` : item.reason || item.status}`)), json(event.payload, "The event"))))))
      : h("p", { class: "soft" }, "None waits, is held or dead. Delivered events are not kept.")));
}

async function forget(user, name, found) {
  const { waiting = 0, held = 0, dead = 0 } = found.counts;
  const answer = await confirm(`Forget ${name}?`, `This erases the person here: ${plural(waiting + held + dead, "event")}, their consent and their identifiers. Nothing brings them back. Destinations keep what they have got.`, "Forget", "", true);
  if (!answer) return $("forget")?.focus();
  try {
    const { events } = await ask("forget", { user });
    toast(`${name} is forgotten, with ${plural(events, "event")}`);
  } catch (error) {
    toast(`It did not work: ${error.message}`);
  }
  await search();
  $("key").focus();
}

// --- the frame ----------------------------------------------------------------------------

function confirm(title, text, yes, check = "", danger = false) {
  const dialog = $("dialog");
  $("dialog-title").textContent = title;
  $("dialog-text").textContent = text;
  $("dialog-yes").textContent = yes;
  $("dialog-yes").className = danger ? "danger main" : "main";
  $("dialog-check").hidden = !check;
  $("dialog-check").lastElementChild.textContent = check;
  $("dialog-box").checked = false;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? { checked: $("dialog-box").checked } : null), { once: true }));
}

let fading;
function toast(text) {
  $("toast").textContent = text;
  $("toast").className = "on";
  clearTimeout(fading);
  fading = setTimeout(() => { $("toast").className = ""; }, 5000);
}

function show(id, kind, text) {
  $(id).className = `link ${kind}`;
  $(id).lastElementChild.textContent = text;
}

function lock(why) {
  state.stream?.abort();
  Object.assign(state, { token: "", figures: null, history: [], samples: [], held: [] });
  forgetLoss();
  showValues(false);
  for (const id of ["values", "unready"]) $(id).hidden = true;
  for (const id of ["tiles", "destinations", "events", "person", "rules-rows", "sources-list"]) $(id).replaceChildren();
  empty();
  $("flow").textContent = "";
  sessionStorage.removeItem("token");
  for (const id of VIEWS) $(id).hidden = true;
  $("entry").hidden = false;
  document.querySelector("nav").hidden = true;
  $("entry-error").textContent = why;
  show("link", "", "Locked");
  $("token").focus();
}

async function open(view, focus = false) {
  if (!state.token) return;
  if (state.view !== view) state.reopen.clear();
  state.view = view;
  empty(view);
  for (const id of VIEWS) $(id).hidden = id !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#/${view}`) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  document.title = `${$(`${view}-title`).textContent} · walker inspector`;
  if (focus) $(`${view}-title`).focus();
  if (state.figures) drawFigures();
  try {
    await LOAD[view]?.();
  } catch (error) {
    const list = $(`${view}-list`);
    if (state.lost && !list.children.length) list.append(h("p", { class: "empty" }, "Not known until the collector answers."));
    else if (state.token && !state.lost) toast(`It did not work: ${error.message}`);
  }
}

function enter(token) {
  Object.assign(state, { token, heard: Date.now() });
  sessionStorage.setItem("token", token);
  $("entry").hidden = true;
  document.querySelector("nav").hidden = false;
  open(state.view || "live");
  listen();
}

function route(focus) {
  const given = /^#token=(.+)$/.exec(location.hash);
  if (given) {
    history.replaceState(null, "", "#/live");  // the token must not stay in the address
    return enter(decodeURIComponent(given[1]));
  }
  const view = VIEWS.find((id) => location.hash === `#/${id}`);
  if (view) open(view, focus); else if (location.hash === "#main") $("main").focus();
  return undefined;
}

addEventListener("hashchange", () => route(true));
$("entry").addEventListener("submit", (event) => { event.preventDefault(); enter($("token").value.trim()); $("token").value = ""; });
$("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
$("filter").addEventListener("input", redraw);
$("outcome").addEventListener("change", redraw);
$("pause").addEventListener("click", () => {
  state.paused = !state.paused;
  if (!state.paused) add(state.held.splice(0));
  drawPause();
});
function showValues(values) {
  state.values = values;
  $("values").setAttribute("aria-pressed", values);
  $("values").textContent = values ? "Mask values" : "Show values";
  $("unmasked").hidden = !values;
}

$("values").addEventListener("click", () => {
  showValues(!state.values);
  state.refilling = state.samples.length > 0;  // though the list is paused
  state.reopen = new Set(["events", "held-list", "dead-list", "person"].flatMap((id) => openKeys($(id))));
  for (const id of ["events", "dead-list", "person"]) $(id).replaceChildren();  // a value must not stay
  listen();
  open(state.view);
  if (state.view === "people") search();
});
setInterval(() => {
  if (!state.token || state.lost || Date.now() < state.heard + SILENT) return;
  lose();
  listen();
}, 1000);
for (const button of document.querySelectorAll("[data-reload]")) button.addEventListener("click", () => open(state.view));

state.view = VIEWS.find((id) => location.hash === `#/${id}`) ?? "live";
route(false);
if (!state.token) {
  const kept = sessionStorage.getItem("token");
  if (kept) enter(kept); else lock("");
}
