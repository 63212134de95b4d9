"use strict";
// The page is complete without this script, which adds what changes: the time, the state, new messages, and copying.
const $ = (id) => document.getElementById(id);
const body = document.body, words = body.dataset, log = $("log"), time = $("time"), pause = $("pause"), live = $("live");
const opened = Date.now();
let clock = { seconds: Number(time.dataset.seconds), runs: "runs" in time.dataset, from: opened };
let source = null, failures = 0, paused = false;

document.documentElement.classList.add("script");

const pad = (number) => String(number).padStart(2, "0");
function tick() {
  if (paused) return;
  const all = clock.seconds + (clock.runs ? Math.floor((Date.now() - clock.from) / 1000) : 0);
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  time.textContent = hours ? `${hours}:${pad(minutes)}:${pad(seconds)}` : `${minutes}:${pad(seconds)}`;
}
setInterval(tick, 1000);

// The server knows UTC only.
function localize(element) {
  const moment = new Date(element.dateTime);
  const today = moment.toDateString() === new Date().toDateString();
  const form = { hour: "2-digit", minute: "2-digit", ...(today ? {} : { day: "2-digit", month: "2-digit" }) };
  element.textContent = moment.toLocaleString(document.documentElement.lang, form);
}
document.querySelectorAll("time").forEach(localize);

const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
const showEnd = () => { log.scrollTop = log.scrollHeight; };

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function addMessage({ side, name, text, at }) {
  const item = element("div", side, ""), head = element("p", "name", name);
  if (at) {
    const when = document.createElement("time");
    when.dateTime = at;
    localize(when);
    head.append(" ", when);
  }
  item.append(head, element("p", "text", text));
  log.append(item);
}

function update({ tone, state, clock: label, seconds, runs, final, messages, count }) {
  words.tone = tone;
  if ($("state").textContent !== state) $("state").textContent = state;
  $("clock").textContent = label;
  clock = { seconds, runs, from: Date.now() };
  tick();
  if (messages.length) {
    const follow = isAtEnd();
    messages.forEach(addMessage);
    log.dataset.count = count;
    $("empty")?.remove();
    if (follow) showEnd();
  }
  if (final) {
    close();
    delete words.events;
    live.remove();
    pause.remove();
  }
}

function close() {
  source?.close();
  source = null;
}

function showLive(text, isOn) {
  live.textContent = text;
  live.classList.toggle("off", !isOn);
}

// A browser has few connections to one server, so a page that nobody sees holds none.
function connect() {
  if (source || paused || document.hidden || !words.events) return;
  source = new EventSource(`${words.events}?after=${log.dataset.count}`);
  source.onopen = () => {
    failures = 0;
    showLive(live.dataset.live, true);
  };
  source.onmessage = (event) => update(JSON.parse(event.data));
  source.onerror = ({ target }) => {
    if (target !== source) return;
    showLive(words.reconnecting, false);
    if (target.readyState === EventSource.CLOSED) reconnect(target);
  };
}

// A browser connects again on its own, but not after a status other than 200 (WHATWG HTML, 9.2). A proxy responds so
// while the bridge restarts. Pause, a hidden tab and the end replace `source`, and so end this, too.
async function reconnect(failed) {
  const status = await statusOf(words.events);
  if (failed !== source) return;
  if ([401, 403, 404, 410].includes(status)) {
    showLive(words.notLive, false);
    return;
  }
  const seconds = 5 + Math.random() * Math.min(5 * 2 ** failures++, 25);
  setTimeout(() => {
    if (failed !== source) return;
    close();
    connect();
  }, 1000 * seconds);
}

// An event stream does not say which status ended it. 0 is no response.
async function statusOf(url) {
  try {
    return (await fetch(url, { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(10000) })).status;
  } catch {
    return 0;
  }
}

document.addEventListener("visibilitychange", () => (document.hidden ? close() : connect()));

pause?.addEventListener("click", () => {
  paused = !paused;
  pause.textContent = paused ? pause.dataset.resume : pause.dataset.pause;
  if (paused) {
    close();
    showLive(words.paused, false);
  } else {
    connect();
    tick();
  }
});

// In a frame, the site around the page may not allow the clipboard: then the text is selected, and copied the old way.
async function copy(button, value) {
  try {
    await navigator.clipboard.writeText(value.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(value);
    return document.execCommand("copy");
  }
}

document.addEventListener("click", async ({ target }) => {
  if (!target.classList.contains("copy")) return;
  const label = target.textContent, value = target.previousElementSibling;
  target.textContent = (await copy(target, value)) ? words.copied : words.pressCopy;
  setTimeout(() => { target.textContent = label; }, 2000);
});

showEnd();
connect();
