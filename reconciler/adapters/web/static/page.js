// Asks `api/status` again and again, and shows the answer. What is told comes from manifests and
// hubs, so it reaches the page as text alone: `make` knows no markup.

const MOVING_MS = 1000;
const RESTING_MS = 5000;
const PATIENCE_MS = 8000;
// More rows than these are made only where somebody asks for them.
const SHOWN_ROWS = 200;
const SHOWN_HELD = 20;

const $ = (id) => document.getElementById(id);

let told = null; // the last answer
let toldAt = 0; // when it came, by this machine's clock
let skew = 0; // how far the host's clock is ahead of that one, in ms
let lostWhy = "";
let allRows = false;
let begun = 0; // how many tasks were shown
let timer = 0;
let asking = false;

// words

function bytes(count) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (Math.abs(Math.round(count * 10) / 10) < 1000) {
      return `${count.toFixed(unit === "B" ? 0 : 1)} ${unit}`;
    }
    count /= 1000;
  }
  return `${count.toFixed(1)} TB`;
}

function span(seconds) {
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

/** Say seconds as a clock does: `0:12`, `1:02:03`. */
function clock(seconds) {
  if (seconds >= 86400) return span(seconds);
  return new Date(seconds * 1000).toISOString().slice(11, 19).replace(/^[0:]{1,4}/, "");
}

function relative(moment, plain) {
  const seconds = (Date.parse(moment) - Date.now() - skew) / 1000;
  if (plain) return `for ${span(Math.max(-seconds, 0))}`;
  return seconds < 0 ? `${span(-seconds)} ago` : `in ${span(seconds)}`;
}

const took = (seconds) => (seconds < 60 ? `${seconds.toFixed(1)} s` : clock(seconds));
// Swedish writes dates as ISO does.
const date = (iso) => new Date(iso).toLocaleString("sv");
const number = (count) => count.toLocaleString("en");
const counted = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
const joined = (parts, by = " · ") => parts.filter(Boolean).join(by);

// elements

/** Make an element with a class and children; a string among them becomes text. */
function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter(Boolean));
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A moment, said relative to now (`age`: as a time that has passed) and kept so by `tick`. */
function time(iso, className = "") {
  const element = make("time", className, relative(iso, className));
  element.dateTime = iso;
  element.title = date(iso);
  return element;
}

function tick() {
  for (const element of document.querySelectorAll("time")) {
    setText(element, relative(element.dateTime, element.className));
  }
  showAge();
}

const badge = (word) => make("span", `badge ${word.replaceAll(" ", "-")}`, word);

/** Let the children of `parent` be `items`: who stays keeps its element, and is filled if changed. */
function keep(parent, items, keyOf, begin, fill) {
  const old = parent.kept ?? new Map();
  const now = new Map();
  for (const item of items) {
    const name = keyOf(item);
    const key = now.has(name) ? `${name}\n${now.size}` : name;
    now.set(key, { ...(old.get(key) ?? { element: begin() }), item });
  }
  for (const [key, row] of old) if (!now.has(key)) row.element.remove();
  let next = parent.firstElementChild;
  for (const row of now.values()) {
    const as = JSON.stringify(row.item);
    if (row.as !== as) fill(row.element, row.item);
    row.as = as;
    if (row.element === next) next = next.nextElementSibling;
    else parent.insertBefore(row.element, next);
  }
  parent.kept = now;
}

/** Fill `element` anew, unless `value` is what it shows already. */
function once(element, value, fill) {
  const as = JSON.stringify(value);
  if (element.shows === as) return;
  element.shows = as;
  element.replaceChildren(...fill(value));
}

// the watch

/** Give the word for how things stand, its colour, and why. */
function standing({ watch, waiting, plan, models }) {
  if (watch.phase === "paused") return ["Paused", "held", ""];
  if (watch.phase === "starting") return ["Starting", "pending", ""];
  if (watch.phase === "working") return ["Working", "pending", watch.reason];
  if (watch.problem) return ["Needs attention", "stalled", ""];
  if (plan?.refusals.length) return ["Refused", "stalled", "the plan may not be applied as it stands"];
  const stalled = waiting.filter((item) => !item.waiting).length;
  if (stalled) return [`${counted(stalled, "model")} stalled`, "stalled", "a person is needed"];
  if (waiting.length) return [`${counted(waiting.length, "model")} waiting`, "changed", "it may pass by itself"];
  const changed = models.filter((item) => ["changed", "pending"].includes(item.state)).length;
  if (changed) return [`${counted(changed, "model")} to set right`, "changed", ""];
  return ["In sync", "in-sync", counted(models.length, "model")];
}

function showWatch(status) {
  const { watch } = status;
  const [word, colour, why] = standing(status);
  setText($("headline"), word);
  $("watch").className = `state ${colour} ${watch.phase}`;
  setText($("host"), watch.host ? `on ${watch.host}` : "");
  once($("why"), [why, watch.phase, watch.since, watch.pause], () => lead(watch, why));
  $("problem").hidden = !watch.problem;
  once($("problem"), watch.problem, (it) => (it ? trouble(it.message, it.hint) : []));
  once($("facts"), [watch, status.runtime, skew], () => facts(status));
}

function lead(watch, why) {
  const { pause } = watch;
  if (!pause) return [why && `${why} · `, time(watch.since, "age")];
  const until = pause.until ? [`until ${date(pause.until)}, `, time(pause.until)] : ["until it is resumed"];
  return [pause.by && `by ${pause.by}, `, time(pause.since), " · ", ...until];
}

function facts({ watch, runtime }) {
  const working = watch.phase === "working";
  return described([
    ["next look", working ? "after this pass" : !watch.pause && watch.next_at && time(watch.next_at)],
    ["last reason", !working && watch.reason],
    ["manifest", make("code", "", watch.manifest)],
    ["commit", watch.commit && make("code", "", watch.commit.slice(0, 10))],
    ["server", runtime && joined([runtime.name || runtime.kind, runtime.status], ", ")],
    ["watching", time(watch.started_at, "age")],
    ["passes", number(watch.passes)],
  ]);
}

/** Give terms with what is said of each; those of which nothing is, left out. */
const described = (pairs) =>
  pairs.filter(([, said]) => said).map(([term, said]) => make("div", "", make("dt", "", term), make("dd", "", said)));

const trouble = (message, hint) => [make("p", "", message), make("p", "hint", hint)];

// what moves

function showWork({ work }) {
  const { total, tasks } = work;
  $("moving").hidden = !total && !tasks.length;
  // With one file alone the total would say the same again.
  $("total").hidden = !total || (total.files < 2 && tasks.length > 0);
  if (total) {
    if (!$("total").firstChild) beginTask($("total"), "total");
    fillTask($("total"), `${total.files_done} of ${counted(total.files, "file")}`, "", total);
  }
  keep(
    $("tasks"),
    tasks,
    (task) => `${task.doing} ${task.name}`,
    () => beginTask(make("li", "task"), `task-${(begun += 1)}`),
    (element, task) => fillTask(element, task.name, task.doing, task),
  );
}

function beginTask(element, id) {
  element.append(make("p", "what"), make("p", "figures"), make("progress"));
  const [name, figures, bar] = element.children;
  [name.id, figures.id] = [`${id}-name`, `${id}-figures`];
  bar.setAttribute("aria-labelledby", name.id);
  bar.setAttribute("aria-describedby", figures.id);
  return element;
}

function fillTask(element, name, doing, task) {
  const { done_bytes: done, total_bytes: whole, bytes_per_second: rate, seconds_left: left } = task;
  const [what, figures, bar] = element.children;
  once(what, [doing, name], () => [make("span", "doing", doing), " ", make("span", doing && "path", name)]);
  bar.max = Math.max(whole, 1);
  bar.value = whole ? done : 1;
  setText(figures, joined([
    `${Math.floor(100 * bar.position)} %`,
    `${bytes(done)} of ${bytes(whole)}`,
    rate && `${bytes(rate)}/s`,
    left !== null && `${clock(left)} left`,
  ]));
}

// what is held up

function showWaiting({ waiting }) {
  $("waiting").hidden = !waiting.length;
  const more = waiting.length - SHOWN_HELD;
  $("more-held").hidden = more <= 0;
  setText($("more-held"), `and ${number(more)} more: see the models`);
  once($("held"), waiting.slice(0, SHOWN_HELD), (items) => items.map((item) => {
    const word = item.waiting ? "waiting" : "stalled";
    const head = make("p", "", badge(word), " ", make("strong", "name", item.model));
    return make("li", `trouble ${word}`, head, ...trouble(item.reason, item.hint));
  }));
}

// the models

function showModels({ models, waiting }) {
  const wanted = $("filter").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const found = models.filter((item) => {
    const text = `${item.model} ${item.source} ${item.state}`.toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
  const shown = allRows ? found : found.slice(0, SHOWN_ROWS);
  // Who is held up stands above with the reason, unless there are too many.
  const told = new Set(waiting.slice(0, SHOWN_HELD).map((item) => item.model));
  const rows = shown.map((item) => ({ ...item, pending: told.has(item.model) ? "" : item.pending }));
  keep($("rows"), rows, (item) => item.model, beginModel, fillModel);
  const size = models.reduce((sum, item) => sum + item.size_bytes, 0);
  const some = wanted.length ? `${number(found.length)} of ` : "";
  setText($("counts"), `${some}${counted(models.length, "model")}, ${bytes(size)}`);
  setText($("none"), found.length ? "" : models.length ? "No model matches." : "No model is declared.");
  $("more").hidden = shown.length === found.length;
  setText($("more"), `Show all ${number(found.length)}`);
}

function beginModel() {
  const name = make("th", "name");
  name.scope = "row";
  return make("tr", "", name, make("td", "source"), make("td", "number"), make("td", "condition"));
}

function fillModel(row, item) {
  const [name, source, size, condition] = row.children;
  const small = (text) => text && make("small", "", text);
  setText(name, item.model);
  setText(source, item.source || "–");
  size.replaceChildren(item.files ? bytes(item.size_bytes) : "–", small(item.files > 1 && `${item.files} files`) || "");
  // The other words are a reason, or say what the badge does.
  const change = /^[a-z]+$/.test(item.pending) ? `to ${item.pending}` : item.pending.split(": ").slice(1).join(": ");
  condition.replaceChildren(badge(item.state), ...[...item.drift, change].filter(Boolean).map(small));
}

// the plan

const VERBS = { adopt: "reuse", replace: "place", prune: "delete" };
const SIGNS = { add: "+", update: "~", rename: "~", remove: "−" };

function showPlan({ plan, runs }) {
  once($("refusals"), plan?.refusals ?? [], (items) =>
    items.map((item) => make("li", "trouble refused", badge("refused"), ...trouble(item.message, item.hint))));
  const details = $("plan-details");
  details.hidden = !plan?.actions.length && !plan?.warnings.length;
  $("no-plan").hidden = !details.hidden;
  const head = plan ? planHead(plan) : runs.length ? "Carried out; see the last run." : "None was made yet.";
  setText($("no-plan"), head);
  setText($("plan-summary"), head);
  if (details.open) once($("plan-body"), plan, planBody);
}

/** Give the models that change, by how they do. */
function changesOf({ summary, actions }) {
  const renamed = actions.filter((item) => item.action === "rename").map((item) => item.model);
  const updated = summary.updated.filter((model) => !renamed.includes(model));
  return Object.entries({ add: summary.added, update: updated, rename: renamed, remove: summary.removed });
}

function planHead(plan) {
  const { summary, actions, refusals, stalled } = plan;
  if (!actions.length && !refusals.length && !Object.keys(stalled).length) {
    return `In sync: ${counted(plan.unchanged.length + summary.added.length, "model")}, nothing to do.`;
  }
  const counts = changesOf(plan).map(([kind, models]) => models.length && `${models.length} to ${kind}`);
  const sizes = [
    ["fetch", summary.fetch_bytes],
    ["reuse", summary.reuse_bytes],
    ["to the trash", summary.trash_bytes],
    ["freed", summary.freed_bytes],
  ];
  return joined([
    joined(counts, ", ") || "no model changes",
    ...sizes.map(([what, count]) => count && `${what} ${bytes(count)}`),
    `${bytes(summary.disk_left_bytes)} left on disk`,
  ]);
}

function planBody(plan) {
  if (!plan) return [];
  const { actions, summary } = plan;
  const of = (...names) => actions.filter((item) => names.includes(item.action));
  const said = (text) => make("li", "", text);
  const blocks = [
    ["First, to make room", of("empty_trash").map((item) =>
      line("delete", `trash/${item.run}`, `${counted(item.files, "file")}: ${item.reason}`, item.frees_bytes))],
    ...changesOf(plan).flatMap(([kind, models]) =>
      models.map((model) => [`${SIGNS[kind]} ${model}`, modelLines(actions, model), kind])),
    ["Afterwards, once llama-swap is healthy", of("prune", "forget").map((item) =>
      line(item.to_trash ? "trash" : VERBS[item.action] ?? item.action, item.path, item.reason, item.size_bytes))],
    ["llama-swap", actions.length && summary.container ? [said(summary.container)] : []],
    ["Warnings", plan.warnings.map(said), "warn"],
  ];
  return blocks
    .filter(([, lines]) => lines.length)
    .map(([title, lines, tone]) => make("div", `block ${tone ?? ""}`, make("h3", "", title), make("ul", "lines", ...lines)));
}


/** Give what becomes of one model: how a file comes tells more than that it is placed. */
function modelLines(actions, model) {
  const mine = actions.filter((item) => item.model === model);
  const brought = mine.filter((item) => item.origin).map((item) => item.path);
  const files = mine.filter((item) => item.origin || (item.path && !brought.includes(item.path)));
  const lines = folded(files).map(({ action, path, size_bytes: size, count, reason }) =>
    line(VERBS[action] ?? action, path, joined([count > 1 && `${count} files`, reason], ": "), size));
  lines.push(...mine.flatMap(entryLines));
  return lines.length ? lines : [line("recorded", "", "already as declared")];
}

function entryLines(item) {
  const { action, changes, group, before, after, reason } = item;
  const lines = [];
  if (action === "rename") lines.push(line("renamed", `from ${item.old}`, reason));
  if (action === "edit_reference") {
    lines.push(line(item.kind, after ? `${before} becomes ${after}` : `${before} goes`, `line ${item.line}: ${item.place}`));
  }
  if (changes?.length) {
    const keys = changes.map((change) => change.key).join(", ");
    lines.push(line("entry", `${item.new ? "new" : "changed"}: ${keys}`, reason));
  }
  if (action === "remove_entry") lines.push(line("entry", item.whole ? "removed" : "given back", reason));
  if (group) {
    const moves = [group.leaves && `leaves ${group.leaves}`, group.joins && `joins ${group.joins}`];
    lines.push(line("group", joined(moves, ", "), ""));
  }
  return lines;
}

/** Make one of neighbours that are shards of one file; what is here already counts no more. */
function folded(items) {
  const rows = [];
  for (const item of items) {
    const whole = item.path.replace(/-\d{5}(-of-\d{5}\.gguf)$/, "-*$1");
    const size = item.size_bytes - (item.have_bytes ?? 0);
    const last = rows.at(-1);
    if (last?.whole === whole && last.action === item.action && last.reason === item.reason) {
      last.size_bytes += size;
      last.count += 1;
      last.path = whole;
    } else rows.push({ ...item, size_bytes: size, count: 1, whole });
  }
  return rows;
}

function line(verb, what, why, size) {
  return make("li", "",
    make("b", "", `${verb} `),
    size > 0 && `${bytes(size)} `,
    make("span", "path", what),
    why && make("span", "soft", ` ${why}`));
}

// the runs

function showRuns({ runs }) {
  $("no-runs").hidden = runs.length > 0;
  keep($("run-list"), runs, (run) => run.run, beginRun, fillRun);
}

function beginRun() {
  return make("li", "", make("details", "", make("summary"), make("dl", "")));
}

const DEEDS = ["added", "updated", "removed", "failed"];

function fillRun(element, run) {
  const [summary, list] = element.firstChild.children;
  const gist = joined([
    ...DEEDS.map((verb) => run[verb].length && `${run[verb].length} ${verb}`),
    run.fetched_bytes && `fetched ${bytes(run.fetched_bytes)}`,
  ]);
  summary.replaceChildren(
    badge(run.outcome),
    make("span", "gist", gist || run.message.split("\n")[0] || "nothing changed"),
    make("span", "when", time(run.finished_at || run.started_at)),
  );
  list.replaceChildren(...described([
    ["began", date(run.started_at)],
    ["took", took(run.duration_seconds)],
    ["commit", run.commit && make("code", "", run.commit.slice(0, 10))],
    ["looked", run.mode && `${run.mode}: ${run.mode_reason}`],
    ...DEEDS.map((verb) => [verb, run[verb].join(", ")]),
    ["why", run.reasons.join("\n")],
    ["reused", run.reused_bytes && bytes(run.reused_bytes)],
    ["without an answer", run.downtime_seconds && took(run.downtime_seconds)],
    ["message", run.message],
    ["found", run.findings.join("\n")],
    ["log", run.log_lines.length && make("pre", "", run.log_lines.join("\n"))],
  ]));
}

// all of it

function show() {
  $("lost").hidden = !lostWhy;
  if (told) {
    for (const element of [$("told"), document.querySelector("nav")]) element.hidden = false;
    showWatch(told);
    showWork(told);
    showWaiting(told);
    showModels(told);
    showPlan(told);
    showRuns(told);
    setText($("version"), `reconciler ${told.version}`);
  }
  const [word, , why] = lostWhy ? ["Connection lost"] : standing(told);
  // A screen reader says it when it changes, and nothing of what merely moves.
  setText($("spoken"), joined([word, why], ": "));
  document.title = joined([word, told?.watch.host || "reconciler"]);
  tick();
}

function showAge() {
  if (!told && !lostWhy) return;
  const age = `told ${span((Date.now() - toldAt) / 1000)} ago`;
  setText($("age"), lostWhy ? "" : age);
  const kept = told ? `What you see was ${age}.` : "Nothing was told yet.";
  if (lostWhy) setText($("lost"), `Connection lost: ${lostWhy}. ${kept} It is tried again and again.`);
}

const moves = () => !lostWhy && (["starting", "working"].includes(told.watch.phase) || told.work.tasks.length > 0);

async function ask() {
  clearTimeout(timer);
  if (asking) return;
  asking = true;
  try {
    const answer = await fetch("api/status", { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(`the answer was ${answer.status}`);
    told = await answer.json();
    toldAt = Date.now();
    lostWhy = "";
    const ahead = Date.parse(answer.headers.get("Date")) - toldAt;
    // That header tells whole seconds.
    skew = Math.abs(ahead) > 3000 ? ahead : 0;
  } catch (error) {
    const known = { TypeError: "the watch does not answer", TimeoutError: "the answer takes too long" };
    lostWhy = known[error.name] ?? error.message;
  }
  asking = false;
  if (!document.hidden) timer = setTimeout(ask, moves() ? MOVING_MS : RESTING_MS);
  show();
}

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
$("filter").addEventListener("input", () => told && showModels(told));
$("plan-details").addEventListener("toggle", () => showPlan(told));
$("more").addEventListener("click", () => {
  allRows = true;
  showModels(told);
  $("filter").focus();
});
setInterval(() => document.hidden || tick(), 1000);
ask();
