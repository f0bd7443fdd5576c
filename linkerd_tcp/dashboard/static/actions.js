// Whatever changes something: asked about first, sent with this page's token, and its outcome said in words.

const token = document.querySelector('meta[name="l5d-token"]').content;
const dialog = document.getElementById("ask");
const line = document.getElementById("result");

let asked = null;

/** Whether the reader wants this; `words` name the consequence, and Cancel is the default. */
export function confirmed(title, words, verb) {
  document.getElementById("ask-title").textContent = title;
  document.getElementById("ask-words").textContent = words;
  document.getElementById("ask-yes").textContent = verb;
  asked?.(false);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => { asked = resolve; });
}

// It comes a moment after the dialog has closed: the next question may be open by then, and is not answered by this.
dialog.addEventListener("close", () => {
  if (dialog.open) return;
  asked?.(dialog.returnValue === "yes");
  asked = null;
});

/** The answer to a POST of `fields`: {ok, status, body}. An error that did not come from the server is status 0. */
export async function send(path, fields = {}, headers = {}, method = "POST", secs = 15) {
  const isText = typeof fields === "string";
  try {
    const answer = await fetch(path, {
      method,
      headers: { "X-L5d-Token": token, "Content-Type": isText ? "application/dtab" : "application/json", ...headers },
      body: isText ? fields : JSON.stringify(fields),
      signal: AbortSignal.timeout(secs * 1000),
    });
    const type = answer.headers.get("Content-Type") ?? "";
    const body = type.startsWith("application/json") ? await answer.json() : { text: await answer.text() };
    return { ok: answer.ok, status: answer.status, body, headers: answer.headers };
  } catch (error) {
    return { ok: false, status: 0, body: { error: `no answer: ${error.message}` }, headers: new Headers() };
  }
}

/** One line at the foot of the page that stays until the next; `undo` is {verb, action}. The element is always there, or
 *  a screen reader would not hear of what is put into it. */
export function say(text, state, undo = null) {
  line.replaceChildren();
  const words = document.createElement("span");
  words.textContent = text;
  words.dataset.state = state;
  line.append(words);
  if (undo !== null) line.append(button(undo.verb, undo.action));
  line.append(button("Close", close));
}

function close() {
  line.replaceChildren();
  document.getElementById("main").focus({ preventScroll: true }); // the button that had the focus has gone
}

function button(verb, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = verb;
  made.addEventListener("click", action);
  return made;
}
