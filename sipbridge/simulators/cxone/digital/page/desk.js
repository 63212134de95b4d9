"use strict";

const ROOT = "/simulator/desk";
const TYPING_MS = 3000; // after the last key, typing has ended
const SHOWN_CLOSED = 20;

const $ = (id) => document.getElementById(id);
const conversations = new Map(); // by id, oldest first
const unread = new Set();
let agents = [];
let open = null; // the id of the conversation that is shown
let typingTimer = null;

async function call(path, body) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(`${ROOT}/${path}`, options);
  const found = await response.json();
  if (!response.ok) throw new Error(found.error_message);
  return found;
}

// Runs an action of the page; its failure is shown, and the next success removes it.
async function attempt(action) {
  try {
    await action();
    $("problem").textContent = "";
  } catch (error) {
    $("problem").textContent = error.message;
  }
}

// Its result is shown by the events alone, as those from before it may arrive later than the response.
const act = (action, body = {}) => attempt(() => call(`conversations/${open}/${action}`, body));

function make(tag, content, properties = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...[content].flat());
  return element;
}

const time = (text) => new Date(text).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

// The lists

function renderLists() {
  const focused = document.activeElement?.dataset?.id;
  for (const state of ["waiting", "active", "closed"]) {
    let listed = [...conversations.values()].filter((each) => each.state === state);
    if (state === "waiting") listed.sort((one, other) => one.position - other.position);
    if (state === "closed") listed = listed.reverse().slice(0, SHOWN_CLOSED);
    else $(`${state}-count`).textContent = `(${listed.length})`;
    $(state).replaceChildren(...listed.map((each) => make("li", entry(each))));
  }
  const waiting = $("waiting").children.length;
  document.title = waiting ? `(${waiting}) Desk` : "Desk";
  if (focused) document.querySelector(`nav button[data-id="${focused}"]`)?.focus();
}

function entry(conversation) {
  const details = [conversation.kind, conversation.agent?.name ?? `since ${time(conversation.opened_at)}`];
  if (conversation.position) details.push(`position ${conversation.position}`);
  if (unread.has(conversation.id)) details.push("new message");
  const button = make("button", [conversation.customer.name, make("small", details.join(", "))], { type: "button" });
  button.dataset.id = conversation.id;
  button.classList.toggle("unread", unread.has(conversation.id));
  button.setAttribute("aria-current", String(conversation.id === open));
  button.addEventListener("click", () => attempt(() => show(conversation.id, true)));
  return button;
}

$("lists").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const buttons = [...$("lists").querySelectorAll("button")];
  if (!step || !buttons.length) return;
  event.preventDefault();
  const index = buttons.indexOf(document.activeElement);
  buttons[(index + step + buttons.length) % buttons.length].focus();
});

// The conversation that is shown

async function show(id, focus = false) {
  if (open !== id) {
    $("compose").reset();
    $("messages").replaceChildren();
    stopTyping();
  }
  open = id;
  unread.delete(id);
  const found = await call(`conversations/${id}`);
  if (open !== id) return; // another was opened meanwhile
  conversations.set(id, found);
  const known = new Set(found.messages.map((message) => message.id));
  const late = [...$("messages").children].filter((item) => !known.has(item.dataset.id)); // came during the call
  $("messages").replaceChildren(...found.messages.map(line), ...late);
  render();
  $("messages").scrollTop = $("messages").scrollHeight;
  if (focus) (found.state === "waiting" ? $("accept") : found.state === "active" ? $("text") : $("messages")).focus();
  markSeen(found);
}

function markSeen(conversation) {
  if (conversation.state !== "active") return;
  attempt(() => call(`conversations/${conversation.id}/mark`, { mark: "seen_by_agent" }));
}

function line(message) {
  const senders = { customer: conversations.get(open).customer.name, bot: "Bot" };
  const agent = agents.find((each) => each.id === message.agent)?.name ?? "Agent";
  const kind = message.type === "TEXT" ? "" : ` · ${message.type}`;
  const files = message.attachments.map((file) => make("p", link(file)));
  const about = make("small", `${senders[message.from] ?? agent} · ${time(message.at)}${kind}`);
  const item = make("li", [about, make("p", message.text), ...files], { className: message.from });
  item.dataset.id = message.id;
  return item;
}

function link(file) {
  if (!/^https?:/.test(file.url)) return file.url;
  return make("a", file.name, { href: file.url, target: "_blank", rel: "noreferrer" });
}

function render() {
  renderLists();
  const shown = conversations.get(open);
  $("chat").hidden = !shown;
  $("nothing").hidden = Boolean(shown);
  if (!shown) return;
  const isActive = shown.state === "active";
  $("customer").textContent = shown.customer.name;
  $("summary").textContent = [
    shown.state === shown.status ? shown.state : `${shown.state} (${shown.status})`,
    shown.agent && `with ${shown.agent.name}`,
    shown.closed_by && `by the ${shown.closed_by}`,
    `contact ${shown.id}`,
    `${shown.kind} channel ${shown.channel}`,
  ].filter(Boolean).join(" · ");
  const fields = Object.entries({ ...shown.customer_fields, ...shown.fields });
  $("fields").replaceChildren(
    ...fields.map(([name, value]) => make("div", [make("dt", name), make("dd", value ?? "")])),
  );
  $("typing").textContent = shown.customer_typing ? `${shown.customer.name} is typing…` : "";
  $("accept").hidden = shown.state !== "waiting";
  const becomesActive = isActive && $("text").disabled;
  for (const control of document.querySelectorAll("#compose *, #transfer *, .actions *")) control.disabled = !isActive;
  if (becomesActive && [document.body, $("accept")].includes(document.activeElement)) $("text").focus();
  const others = agents.filter((agent) => agent.id !== shown.agent?.id);
  const chosen = $("to").value;
  $("to").replaceChildren(...options(others));
  if (others.some((agent) => String(agent.id) === chosen)) $("to").value = chosen;
}

const options = (list) => list.map((agent) => make("option", agent.name, { value: agent.id }));

// Actions

$("accept").addEventListener("click", () => act("accept", { agent: Number($("me").value) }));

$("compose").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  const url = $("link").value.trim();
  if (!text && !url) return;
  const attachments = url ? [{ url, name: $("link-name").value.trim() || url.split("/").pop() || "link" }] : [];
  await attempt(async () => {
    await call(`conversations/${open}/messages`, { text, attachments });
    $("compose").reset();
    stopTyping();
  });
  $("text").focus();
});

$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("compose").requestSubmit();
});

$("text").addEventListener("input", () => {
  if (typingTimer === null) act("typing", { state: "started" });
  clearTimeout(typingTimer);
  const id = open;
  typingTimer = setTimeout(() => {
    stopTyping();
    attempt(() => call(`conversations/${id}/typing`, { state: "stopped" }));
  }, TYPING_MS);
});

// A message and the end of the assignment end the typing at the server on their own.
function stopTyping() {
  clearTimeout(typingTimer);
  typingTimer = null;
}

$("transfer").addEventListener("submit", (event) => {
  event.preventDefault();
  act("transfer", { to: Number($("to").value), via_queue: $("via-queue").checked, seconds: 1 });
});
$("leave").addEventListener("click", () => act("leave"));
$("close").addEventListener("click", () => act("close"));

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !open) return;
  document.querySelector(`nav button[data-id="${open}"]`)?.focus();
});

// Live updates: every state and message of all conversations; after a reconnect everything is read again.

async function load() {
  agents = (await call("agents")).agents;
  const me = $("me").value;
  $("me").replaceChildren(...options(agents));
  if (me) $("me").value = me;
  const lists = await Promise.all(
    ["waiting", "active", "closed"].map((state) => call(`conversations?state=${state}&newest=500`)),
  );
  conversations.clear();
  for (const each of lists.flatMap((list) => list.conversations)) conversations.set(each.id, each);
  if (open && conversations.has(open)) await show(open);
  else open = null;
  render();
}

let loading = Promise.resolve(); // events wait for it, as the lists that are being read may be older than they are

function listen() {
  const events = new EventSource(`${ROOT}/events`);
  const on = (name, handle) =>
    events.addEventListener(name, (event) => {
      loading = loading.then(() => handle(JSON.parse(event.data)));
    });
  events.addEventListener("open", () => {
    $("connection").textContent = "Connected";
    loading = loading.then(() => attempt(load));
  });
  events.addEventListener("error", () => {
    $("connection").textContent = "Not connected; trying again…";
  });
  on("state", ({ conversation }) => {
    conversations.set(conversation.id, conversation);
    render();
  });
  on("message", ({ conversation, message }) => {
    conversations.set(conversation.id, conversation);
    if (conversation.id === open) append(message);
    else if (message.from === "customer") unread.add(conversation.id);
    render();
  });
  on("forgotten", ({ conversation }) => {
    conversations.delete(conversation.id);
    unread.delete(conversation.id);
    if (conversation.id === open) open = null;
    render();
  });
}

function append(message) {
  const list = $("messages");
  if (list.querySelector(`[data-id="${message.id}"]`)) return;
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(line(message));
  if (isAtEnd || message.from === "agent") list.scrollTop = list.scrollHeight;
  if (message.from === "customer") markSeen(conversations.get(open));
}

listen();
