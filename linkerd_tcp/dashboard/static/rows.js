// Puts what the server says into the page: text where it differs, rows by their key. A node that stays is the same node,
// so that focus, selection and open details stay, too. Nothing here knows what a figure means.

const cellsOf = new WeakMap();

function cells(element) {
  let found = cellsOf.get(element);
  if (found === undefined) {
    found = [...element.querySelectorAll("[data-cell]")].filter((node) => owner(node) === element);
    cellsOf.set(element, found);
  }
  return found;
}

function owner(node) {
  return node.parentElement.closest("[data-key]");
}

function attribute(node, name, value) {
  if (value === undefined || value === null || value === "") {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

const VALUE = { TIME: "datetime", DATA: "value" };

function fillCell(node, cell) {
  const full = typeof cell === "object" && cell !== null ? cell : { text: cell ?? "" };
  const target = node.dataset.attribute;
  if (target !== undefined) {
    attribute(node, target, full.text);
    return;
  }
  const text = String(full.text);
  if (node.textContent !== text) node.textContent = text;
  attribute(node, "data-state", full.state);
  attribute(node, "title", full.title);
  if (node.tagName === "A") attribute(node, "href", full.href);
  attribute(node, VALUE[node.tagName] ?? "data-value", full.value);
}

/** The cells of `row` into `element`, which has a data-key; not into the rows inside it. */
export function fill(element, row) {
  for (const node of cells(element)) {
    if (node.dataset.cell in row) fillCell(node, row[node.dataset.cell]);
  }
}

/** One child of `parent` for each of `rows`, in their order, made of the first element of `template` where it is new. */
export function keyed(parent, rows, template, fillRow = fill) {
  const before = new Map();
  for (const child of parent.children) if (child.dataset.key !== undefined) before.set(child.dataset.key, child);
  // What is gone goes first: else all that come after it would be moved, and what is moved loses the focus.
  const wanted = new Set(rows.map((row) => row.key));
  for (const [key, child] of before) if (!wanted.has(key)) child.remove();
  let place = [...parent.children].find((child) => child.dataset.key !== undefined) ?? null;
  for (const row of rows) {
    let element = before.get(row.key);
    if (element === undefined) {
      element = template.content.firstElementChild.cloneNode(true);
      element.dataset.key = row.key;
      parent.insertBefore(element, place);
    } else if (element === place) {
      place = place.nextElementSibling;
    } else {
      parent.insertBefore(element, place);
    }
    fillRow(element, row);
  }
}

const listsOf = new WeakMap();

function lists(element) {
  let found = listsOf.get(element);
  if (found === undefined) {
    found = [...element.querySelectorAll("[data-rows]")].filter((node) => owner(node) === element);
    listsOf.set(element, found);
  }
  return found;
}

/** The cells of `row`, and its lists of rows (data-rows has their name, data-template the id of what they are made of). */
export function draw(element, row) {
  fill(element, row);
  for (const list of lists(element)) {
    keyed(list, row[list.dataset.rows] ?? [], document.getElementById(list.dataset.template), draw);
  }
}
