// Asks where a path leads while it is being typed, or the text that decides; marks what belongs together; keeps all of it
// in the address, behind `#`, so that a link leads here again. What it means is the server's to say.

import { say, send } from "/static/actions.js";
import { fill, keyed } from "/static/rows.js";
import { watchNamespace } from "/static/delegator-save.js";

const TYPED_MS = 300;
const AGAIN_MS = 2000;
const MOST_AGAIN = 5;
const MOST_ROWS = 24;

const page = document.getElementById("source");
const form = document.getElementById("where");
const { of: select, path: input } = form.elements;
const box = document.getElementById("text");
const gutter = document.getElementById("gutter");
const wrong = document.getElementById("wrong");
const wrongPath = document.getElementById("wrong-path");
const spot = document.getElementById("spot");
const reset = document.getElementById("reset");
const waiting = document.getElementById("waiting");
const tree = document.getElementById("tree");
const lines = document.getElementById("lines");

let source = page === null ? null : {
  key: page.dataset.of, kind: page.dataset.kind, name: page.dataset.name, version: page.dataset.version,
  replaces: page.dataset.replaces === "yes", text: (document.getElementById("stored") ?? box).value,
};
let asked = 0;
let timer = 0;
let error = null;
let namespace = null;

const edited = () => box.value !== source.text;

// What is asked

function soon() {
  old(true);
  size();
  clearTimeout(timer);
  timer = setTimeout(ask, TYPED_MS);
}

async function ask(times = 0) {
  clearTimeout(timer);
  const mine = ++asked;
  share();
  const answer = await send("/delegator/result.json", { of: source.key, path: input.value, dtab: edited() ? box.value : null });
  if (mine !== asked) return;
  if (!answer.ok) {
    fill(page, { summary: { text: answer.body.error ?? `no answer: ${answer.status}`, state: "bad" } });
    return;
  }
  show(answer.body);
  again(answer.body.pending, times);
}

function again(isPending, times) {
  waiting.textContent = !isPending ? "" : times < MOST_AGAIN ? "It is asked again." : "Reload the page to ask again.";
  if (isPending && times < MOST_AGAIN) timer = setTimeout(() => ask(times + 1), AGAIN_MS);
}

/** Another dtab, with its own text in the box, or with `text`. */
async function choose(key, text = null) {
  const mine = ++asked;
  old(true);
  const answer = await send("/delegator/result.json", { of: key, path: input.value, dtab: null });
  if (mine !== asked) return;
  if (!answer.ok) {
    select.value = source.key;
    old(false);
    say(answer.body.error ?? `no answer: ${answer.status}`, "bad");
    return;
  }
  box.value = answer.body.source.text;
  show(answer.body);
  if (text !== null && text !== box.value) {
    box.value = text;
    size();
    await ask();
  } else {
    share();
    again(answer.body.pending, 0);
  }
}

// What is shown

function show(view) {
  if (view.source !== undefined) take(view);
  keyed(lines, view.lines, document.getElementById("line"));
  fill(page, { badge: view.badge, moreLines: view.moreLines });
  error = view.error;
  const isText = error?.field === "dtab";
  put(wrong, isText ? error.words : "");
  put(wrongPath, error?.field === "path" ? error.words : "");
  invalid(box, isText);
  invalid(input, error?.field === "path");
  spot.hidden = !isText;
  reset.disabled = !edited();
  if (view.rows === null) return; // what stands there is of the previous text, and says so
  keyed(tree, view.rows, document.getElementById("step"));
  fill(page, { summary: view.summary, more: view.more });
  old(false);
  namespace?.changed(source, edited());
}

function take(view) {
  const wasEdited = source.key === view.source.key && edited();
  source = view.source;
  select.value = source.key;
  put(document.getElementById("from"), source.where);
  if (!wasEdited && box.value !== source.text) box.value = source.text;
  const paths = document.getElementById("paths");
  paths.replaceChildren(...view.paths.map((path) => Object.assign(document.createElement("option"), { value: path })));
  for (const note of document.querySelectorAll("[data-only]")) note.hidden = note.dataset.only !== source.kind;
  size();
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function invalid(element, is) {
  if (is) element.setAttribute("aria-invalid", "true");
  else element.removeAttribute("aria-invalid");
}

function old(is) {
  page.classList.toggle("old", is);
  document.getElementById("old").hidden = !is;
  namespace?.changed(source, false);
}

function size() {
  const count = box.value.split("\n").length;
  const rows = Math.max(6, Math.min(count + 1, MOST_ROWS));
  if (box.rows !== rows) box.rows = rows;
  let numbers = "";
  for (let number = 1; number <= count; number += 1) numbers += `${number}\n`;
  put(gutter, numbers);
  gutter.scrollTop = box.scrollTop;
}

// The address

function share() {
  const fields = new URLSearchParams();
  fields.set(source.kind, source.name);
  fields.set("path", input.value);
  if (edited()) fields.set("dtab", box.value);
  history.replaceState(null, "", `/delegator#${fields}`);
}

function follow() {
  const fields = new URLSearchParams(location.hash.slice(1));
  if (![...fields.keys()].some((key) => ["router", "namespace", "path", "dtab"].includes(key))) return;
  input.value = fields.get("path") ?? "";
  const wanted = fields.has("namespace") ? `namespace:${fields.get("namespace")}` : fields.has("router") ? `router:${fields.get("router")}` : source.key;
  choose(wanted, fields.get("dtab"));
}

// What belongs together

function numbers(target) {
  return (target.closest?.("[data-entries]")?.dataset.entries ?? "").split(" ").filter(Boolean);
}

function together(event) {
  const wanted = new Set(numbers(event.target));
  for (const each of page.querySelectorAll("[data-entries]")) {
    const is = wanted.size > 0 && each.dataset.entries.split(" ").some((number) => wanted.has(number));
    if (each.classList.contains("same") !== is) each.classList.toggle("same", is);
  }
}

function jump(event, into, button) {
  if (event.target.closest("button") === null) return;
  const wanted = new Set(numbers(event.target));
  const there = [...into.querySelectorAll("[data-entries]")].find((each) => each.dataset.entries.split(" ").some((number) => wanted.has(number)));
  const target = there?.querySelector(button);
  target?.focus({ preventScroll: true });
  there?.scrollIntoView({ block: "nearest" });
}

function toSpot() {
  box.focus();
  box.setSelectionRange(error.start, Math.max(error.end, error.start));
  const height = box.scrollHeight / box.value.split("\n").length;
  box.scrollTop = Math.max(0, (error.line - 3) * height);
}

if (source !== null) {
  box.addEventListener("input", soon);
  box.addEventListener("scroll", () => { gutter.scrollTop = box.scrollTop; });
  input.addEventListener("input", soon);
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  select.addEventListener("change", () => choose(select.value));
  reset.addEventListener("click", () => { box.value = source.text; old(true); size(); ask(); box.focus(); });
  spot.addEventListener("click", toSpot);
  document.getElementById("copy").addEventListener("click", async () => {
    share();
    try {
      await navigator.clipboard.writeText(location.href);
      say("The link is copied.", "good");
    } catch {
      say("This browser does not let a page copy here: the link is in the address bar.", "warn");
    }
  });
  for (const list of [tree, lines]) {
    for (const kind of ["pointerover", "focusin"]) list.addEventListener(kind, together);
    for (const kind of ["pointerleave", "focusout"]) list.addEventListener(kind, together_not);
  }
  tree.addEventListener("click", (event) => jump(event, lines, ".use"));
  lines.addEventListener("click", (event) => jump(event, tree, ".rule"));
  addEventListener("hashchange", follow);
  namespace = watchNamespace({
    box, choose, current: () => source, saved: (text) => fill(page, { badge: { text, state: "good" } }),
  });
  namespace?.changed(source, edited());
  size();
  reset.disabled = !edited();
  follow();
}

function together_not() {
  for (const each of page.querySelectorAll(".same")) each.classList.remove("same");
}
