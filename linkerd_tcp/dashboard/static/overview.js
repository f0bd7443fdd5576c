import { confirmed, say, send } from "/static/actions.js";
import { Live } from "/static/live.js";
import { draw } from "/static/rows.js";

const root = document.getElementById("view");
const announced = document.getElementById("announced");
const filter = document.getElementById("filter");
const matches = document.getElementById("matches");

let started = null;
let news = null;
const known = new WeakSet(root.querySelectorAll("details"));

function show(view) {
  draw(root, view);
  openNew(view);
  // What is read out is only what has changed since the page was drawn.
  if (news !== null && news !== view.news) announced.textContent = view.news;
  news = view.news;
  if (started !== null && started !== view.started) document.getElementById("restarted").hidden = false;
  started = started ?? view.started;
  narrow();
}

/** Details that were not there before are open or not as the server says; from then on they are the reader's. */
function openNew(view) {
  const open = new Set(view.routers.flatMap((router) => router.destinations).filter((each) => each.open_first).map((each) => each.key));
  for (const details of root.querySelectorAll("details")) {
    if (known.has(details)) continue;
    known.add(details);
    details.open = open.has(details.dataset.key);
  }
}

// -- the box to look for destinations, and its text in the address

function narrow() {
  const wanted = filter.value.trim().toLowerCase();
  const all = [...root.querySelectorAll("details.destination")];
  let shown = 0;
  for (const details of all) {
    const matching = wanted === "" || details.querySelector(".name").textContent.toLowerCase().includes(wanted);
    details.hidden = !matching;
    shown += matching;
  }
  const text = wanted === "" ? "" : `${shown} of ${all.length}`;
  if (matches.textContent !== text) matches.textContent = text;
}

filter.value = new URLSearchParams(location.search).get("filter") ?? "";
filter.addEventListener("input", () => {
  const url = new URL(location.href);
  if (filter.value === "") url.searchParams.delete("filter");
  else url.searchParams.set("filter", filter.value);
  history.replaceState(null, "", url);
  narrow();
});

// -- a link to a destination opens it

root.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  const details = link && document.getElementById(link.hash.slice(1))?.closest("details");
  if (details) details.open = true;
});

// -- draining

root.addEventListener("click", (event) => {
  const button = event.target.closest("button.drain, button.undo");
  if (button === null) return;
  if (button.matches(".undo")) {
    const { bound, address } = JSON.parse(button.dataset.target);
    change("undrain", bound, address);
    return;
  }
  const row = button.closest("tr");
  const { bound } = button.closest("[data-bound]").dataset;
  const address = row.dataset.key;
  if (row.querySelector('[data-cell="action"]').textContent === "Drain") ask(bound, address, row.querySelector('[data-cell="open"]').textContent);
  else change("undrain", bound, address);
});

async function ask(bound, address, open) {
  const going = open === "0" ? "No connection to it is open." : `Those that are open go on: ${open}.`;
  const words = `${address} of ${bound} gets no new connections from now on. ${going} It lasts until it is undone or the program is restarted.`;
  if (await confirmed(`Drain ${address}?`, words, "Drain")) await change("drain", bound, address);
}

async function change(what, bound, address) {
  const { ok, body } = await send(`/endpoints/${what}`, { bound, address });
  if (!ok) say(`${address} was not ${what}ed: ${body.error}`, "bad");
  else if (what === "drain") say(`${address} is drained: it gets no new connections.`, "off", { verb: "Undo", action: () => change("undrain", bound, address) });
  else say(`${address} is undrained: it gets new connections again.`, "good");
}

new Live("/overview.events", "/overview.json", show).start();
