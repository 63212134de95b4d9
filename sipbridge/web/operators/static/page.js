"use strict";
// The key is in this variable only: no cookie, no storage. What the bridge sends becomes text, never markup.
let key = "", paused = false, timer = 0, ahead = 0, shown = "", newest = "", agreed;
const $ = (id) => document.getElementById(id);
const on = (id, type, act) => $(id).addEventListener(type, act);

async function ask(method, path) {
  const options = { method, headers: { "x-api-key": key }, redirect: "error", signal: AbortSignal.timeout(10000) };
  const response = await fetch(document.body.dataset.base + path, options), body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.error_message), { status: response.status });
  return body;
}
const why = ({ status, message }) => (status === 401 ? "this key is not valid" : status ? message : "the bridge does not respond");

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const words = (word) => capital(word.replaceAll("_", " "));
const owner = ({ client, project }) => (project ? `${client}/${project}` : client);
const outcome = ({ result, reason }) => words(result) + (reason && `: ${reason.replaceAll("_", " ")}`);
const tone = ({ result }) => (!result ? "over" : result === "success" ? "connected" : /server|upstream/.test(result) ? "failed" : "waiting");
const sum = (outcomes) => outcomes.reduce((all, { count }) => all + count, 0);

function clock(since) {
  const pad = (number) => String(number).padStart(2, "0"), all = Math.max(0, Math.floor((Date.now() + ahead - Date.parse(since)) / 1000));
  const [days, hours, minutes] = [Math.floor(all / 86400), Math.floor(all / 3600) % 24, Math.floor(all / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  return `${hours ? `${hours}:${pad(minutes)}` : minutes}:${pad(all % 60)}`;
}

function make(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// What did not change stays, for selections and screen readers.
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A value is a text, a number, a time that runs (`since`), or the button of a call.
function setCell(cell, value) {
  if (value.since) {
    Object.assign(cell.dataset, { since: value.since, after: value.after ?? "" });
    set(cell, clock(value.since) + cell.dataset.after);
  } else if (value.call) {
    if (!cell.firstChild) cell.append(make("button", { type: "button", ariaLabel: `Timeline of contact ${value.contact}` }, "Timeline"));
    cell.firstChild.dataset.call = value.call;
  } else set(cell, String(value));
}

// A row is an id, a tone and values. One that is still there is not moved, and keeps the focus.
function fill(id, rows, count = 0) {
  const table = $(id), body = table.tBodies[0], labels = [...table.tHead.rows[0].cells];
  const ids = new Set(rows.map((row) => row[0])), old = new Map();
  for (const row of [...body.rows]) ids.has(row.dataset.id) ? old.set(row.dataset.id, row) : row.remove();
  rows.forEach(([name, rowTone, ...values], at) => {
    const row = old.get(name) ?? make("tr", {}, ...labels.map(() => make("td")));
    if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] ?? null);
    Object.assign(row.dataset, { id: name, tone: rowTone });
    values.forEach((value, column) => {
      row.cells[column].dataset.label = labels[column].textContent;
      setCell(row.cells[column], value);
    });
  });
  table.hidden = !rows.length;
  table.previousElementSibling.hidden = !table.hidden;
  set($(`${id}-name`).lastChild, rows.length ? rows.length + (rows.length < 100 || count <= 100 ? "" : ` newest of ${count}`) : "");
}

function showStatus({ draining, calls, chats, since, max_calls, obstacle, nodes }) {
  $("bridge").dataset.tone = draining ? "waiting" : obstacle ? "failed" : "connected";
  set($("state"), draining ? "Draining" : obstacle ? "Taking no calls" : "Taking calls");
  set($("obstacle"), obstacle && !draining ? capital(obstacle) : "");
  set($("calls-now"), `${calls} of ${max_calls}`);
  set($("chats-now"), `${chats}`);
  setCell($("uptime"), { since });
  $("drain").disabled = draining;
  fill("nodes", nodes.map((node) => [
    node.id + node.url, { alive: "connected", lost: "failed" }[node.state] ?? "waiting", words(node.state),
    node.id + (node.is_this ? " (this one)" : ` ${node.url}`), node.calls === null ? "–" : `${node.calls} of ${node.max_calls}`,
  ]));
}

function showActivity({ at, calls, chats, ended, outcomes, health }, status) {
  const ago = (since) => ({ since, after: " ago" }), button = (call) => ({ call: call.id, contact: call.contact_id });
  ahead = Date.parse(at) - Date.now();
  fill("calls", calls.map((call) => [
    call.id, call.state === "talking" ? "connected" : "waiting", words(call.state) + (call.taken_back ? ", taken back" : call.destination && ` to ${call.destination}: ${call.reason}`),
    owner(call), call.contact_id, { since: call.started_at }, button(call),
  ]), status.calls);
  fill("chats", chats.map((chat) => [
    owner(chat) + chat.id, chat.state === "active" ? "connected" : "waiting", words(chat.state),
    `${owner(chat)} (${chat.channel})`, chat.id, { since: chat.started_at },
  ]), status.chats);
  fill("ended", ended.map((call) => [
    call.id, tone(call), outcome(call), owner(call), call.contact_id, ago(call.ended_at ?? call.started_at), button(call),
  ]));
  fill("outcomes", outcomes.map((each) => [
    each.kind + outcome(each) + owner(each), tone(each), outcome(each), `${words(each.kind)}s of ${owner(each)}`, each.count,
  ]));
  fill("health", health.map((each) => [
    each.kind + owner(each), tone(each), each.result === "success" ? "Works" : outcome(each),
    `${words(each.kind)} of ${owner(each)}`, `${each.successes} of ${each.uses}`, ago(each.at),
  ]));
  const all = outcomes.filter(({ kind }) => kind === "call"), good = all.filter(({ result }) => result === "success");
  set($("hour"), all.length ? `${sum(all)}, ${Math.floor((100 * sum(good)) / sum(all))} % with success` : "0");
}

async function showTimeline() {
  const asked = shown;
  try {
    const { id, state, contact_id, steps, ...call } = await ask("GET", `timeline?id=${asked}`), last = JSON.stringify(steps.at(-1));
    if (shown !== asked) return;
    set($("which"), `Contact ${contact_id}`);
    set($("about"), `${owner(call)} · call ${id} · ${words(state)}`);
    if (newest !== last) $("steps").replaceChildren(...steps.map((step) => {
      const after = (Date.parse(step.at) - Date.parse(steps[0].at)) / 1000;
      const more = [step.result && outcome(step), step.detail, step.seconds !== null && `took ${step.seconds.toFixed(2)} s`].filter(Boolean);
      const item = make("li", {}, make("span", {}, `+${after.toFixed(1)} s`), make("b", {}, words(step.step)), make("span", {}, more.join(" · ")));
      item.dataset.tone = tone(step);
      return item;
    }));
    newest = last;
  } catch (error) {
    if (shown === asked) set($("about"), capital(why(error)));
  }
}

function showLive(text, isOn) {
  set($("live"), text);
  $("live").classList.toggle("off", !isOn);
}

async function refresh() {
  const used = key;
  clearTimeout(timer);
  if (!key || paused || document.hidden) return;
  try {
    const [status, activity] = await Promise.all([ask("GET", "status"), ask("GET", "activity")]);
    if (key !== used) return;
    if ($("desk").hidden) {
      showDesk(true);
      $("pause").focus();
    }
    if (paused) return;
    showActivity(activity, status);
    showStatus(status);
    showLive("Live", true);
    if (shown) await showTimeline();
  } catch (error) {
    if (key !== used || paused) return;
    if ($("desk").hidden || [401, 403].includes(error.status)) return leave(why(error));
    showLive(`Not live: ${why(error)}`, false);
  }
  clearTimeout(timer);
  timer = setTimeout(refresh, 2000);
}

function showDesk(isShown) {
  for (const id of ["desk", "live", "pause", "leave"]) $(id).hidden = !isShown;
  $("gate").hidden = isShown;
}

function leave(reason) {
  key = shown = "";
  if (paused) $("pause").click();
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  document.querySelectorAll("tbody, #steps, #message").forEach((element) => element.replaceChildren());
  showDesk(false);
  set($("refused"), capital(reason));
  $("key").focus();
}

on("enter", "submit", (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  $("key").value = "";
  refresh();
});
on("leave", "click", () => leave(""));
addEventListener("pagehide", () => leave(""));
on("pause", "click", () => {
  paused = !paused;
  set($("pause"), paused ? "Resume updates" : "Pause updates");
  showLive(paused ? "Paused" : "Live", !paused);
  refresh();
});
on("desk", "click", ({ target }) => {
  if (!target.dataset.call) return;
  shown = target.dataset.call;
  newest = "";
  set($("which"), "Timeline");
  set($("about"), "");
  $("steps").replaceChildren();
  $("timeline").showModal();
  showTimeline();
});
on("close", "click", () => $("timeline").close());
// This event comes late.
on("timeline", "close", () => { if (!$("timeline").open) shown = ""; });

function confirm(label, question, effect, action) {
  set($("question"), question);
  set($("effect"), effect);
  set($("yes"), label);
  agreed = action;
  $("confirm").showModal();
}
on("no", "click", () => $("confirm").close());
on("yes", "click", async () => {
  $("confirm").close();
  set($("message"), await agreed().catch((error) => `Not done: ${why(error)}`));
  refresh();
});
on("drain", "click", () => confirm("Drain", "Drain this bridge?", "It takes no new calls and chats. Calls in progress go on for drain_seconds. Then those that remain are handed off, and the bridge stops. This cannot be undone.", async () => {
  return `Draining. Calls in progress: ${(await ask("POST", "drain")).calls}`;
}));
on("reload", "click", () => confirm("Reload", "Reload the configuration?", "New calls and chats use the file as it is now. If it has an error, nothing changes.", async () => {
  const { restart_required: later, warnings } = await ask("POST", "reload");
  return ["Reloaded", ...later.map((name) => `${name}: takes effect with a restart`), ...warnings].join("\n");
}));

document.addEventListener("visibilitychange", refresh);
setInterval(() => {
  if (!paused) document.querySelectorAll("[data-since]").forEach((cell) => set(cell, clock(cell.dataset.since) + cell.dataset.after));
}, 1000);
$("key").focus();
