// Keeps the first page current: asks for the same tables that the server drew, two seconds after the last answer,
// and changes only the text that differs. Nothing is asked for while the page is hidden. `?worker=1` is the page's, too.
"use strict";

const INTERVAL_MS = 2000;
const DEADLINE_MS = 10000;
let timer = null;
let asking = false;
let lastGood = new Date();

function fill(parent, value) {
  const text = typeof value === "string" ? value : value.text;
  const state = typeof value === "string" ? null : value.state;
  const mark = parent.querySelector("span");
  if (state !== null && mark !== null) {
    if (mark.textContent !== text) mark.textContent = text;
    if (mark.dataset.state !== state) mark.dataset.state = state;
  } else if (state !== null) {
    const made = document.createElement("span");
    made.dataset.state = state;
    made.textContent = text;
    parent.replaceChildren(made);
  } else if (mark !== null || parent.textContent !== text) {
    parent.textContent = text;
  }
}

function resize(parent, count, make) {
  while (parent.children.length > count) parent.lastElementChild.remove();
  while (parent.children.length < count) parent.append(make());
}

function list(element, values) {
  resize(element, values.length, () => document.createElement("li"));
  values.forEach((value, index) => fill(element.children[index], value));
}

function draw(table) {
  const element = document.getElementById(table.name);
  const body = element.tBodies[0];
  resize(body, table.rows.length, () => {
    const row = document.createElement("tr");
    for (const column of table.columns) row.insertCell().className = column.kind;
    return row;
  });
  table.rows.forEach((row, index) => {
    row.forEach((value, place) => fill(body.rows[index].cells[place], value));
  });
  const section = element.closest("section");
  section.querySelector(".none").hidden = table.rows.length > 0;
  const more = section.querySelector(".more");
  more.hidden = table.more === "";
  more.textContent = table.more;
}

function say(text, stale) {
  const line = document.getElementById("freshness");
  if (line.textContent !== text) line.textContent = text;
  document.body.classList.toggle("stale", stale);
}

async function refresh() {
  timer = null;
  if (asking) return;
  asking = true;
  try {
    const answer = await fetch("/overview.json" + location.search, { signal: AbortSignal.timeout(DEADLINE_MS) });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const view = await answer.json();
    list(document.getElementById("status"), view.status);
    list(document.getElementById("remarks"), view.remarks);
    view.tables.forEach(draw);
    lastGood = new Date();
    say("live, every 2 s", false);
  } catch (error) {
    say(`no data since ${lastGood.toLocaleTimeString()} (${error.message}); trying again`, true);
  } finally {
    asking = false;
    plan();
  }
}

function plan() {
  if (timer === null && !asking && !document.hidden) timer = setTimeout(refresh, INTERVAL_MS);
}

document.addEventListener("visibilitychange", () => {
  if (timer !== null) clearTimeout(timer);
  timer = null;
  if (!document.hidden) refresh();
});

refresh();
