// Keeps a page current: a stream while the page is seen, questions where there is no room for a stream, and in words
// always how current it is. What the page shows is the server's; here are only the times of this browser.

const POLL_MS = 2000;
const MOST_POLL_MS = 30000;
const STREAM_AGAIN_MS = 60000;
const HIDDEN_MS = 5000;
const SILENT_MS = 5000;

const words = document.getElementById("live");
const button = document.getElementById("pause");

function clock(at) {
  return `${new Date(at).toISOString().slice(11, 19)} UTC`;
}

/** Calls `show` with each view: of the stream `events`, or of the answers to `json`. */
export class Live {
  constructor(events, json, show) {
    Object.assign(this, { events, json, show });
    this.stream = null;
    this.timer = 0;
    this.hiding = 0;
    this.wait = POLL_MS;
    this.paused = false;
    this.asleep = false;
    this.mode = "live";
    this.heardAt = Date.now();
    this.streamTriedAt = 0;
  }

  start() {
    button.hidden = false;
    button.addEventListener("click", () => this.toggle());
    document.addEventListener("visibilitychange", () => this.seen());
    addEventListener("pagehide", () => this.stop());
    addEventListener("pageshow", (event) => { if (event.persisted && !this.paused) this.open(); });
    setInterval(() => this.say(), 1000);
    this.open();
  }

  toggle() {
    this.paused = !this.paused;
    button.textContent = this.paused ? "Go on" : "Pause";
    if (this.paused) this.stop();
    else this.open();
    this.asleep = false;
    this.say();
  }

  seen() {
    clearTimeout(this.hiding);
    if (document.hidden) {
      this.hiding = setTimeout(() => this.sleep(), HIDDEN_MS);
    } else if (this.asleep) {
      this.asleep = false;
      if (!this.paused) this.open();
    }
  }

  /** Browsers allow six connections to a server, over all tabs: one that nobody sees leaves its own to the others. */
  sleep() {
    this.asleep = true;
    this.stop();
    this.say();
  }

  stop() {
    this.stream?.close();
    this.stream = null;
    clearTimeout(this.timer);
    this.timer = 0;
  }

  open() {
    this.stop();
    this.streamTriedAt = Date.now();
    const stream = new EventSource(this.events);
    this.stream = stream;
    stream.addEventListener("message", (event) => {
      this.mode = "live";
      this.take(JSON.parse(event.data));
    });
    stream.addEventListener("trouble", () => this.say());
    // The server stops: it would be asked again and again by a stream, and more and more seldom by questions.
    stream.addEventListener("bye", () => this.poll());
    stream.addEventListener("error", () => { if (stream.readyState === EventSource.CLOSED) this.poll(); });
  }

  poll() {
    this.stop();
    this.mode = "polling";
    this.wait = POLL_MS;
    this.timer = setTimeout(() => this.ask(), this.wait);
  }

  async ask() {
    let view = null;
    const timer = this.timer;
    try {
      const answer = await fetch(this.json, { signal: AbortSignal.timeout(10000) });
      if (answer.ok) view = await answer.json();
    } catch {
      // Said below: there is no data.
    }
    if (this.timer !== timer) return;
    const wasLost = this.lost();
    if (view !== null) this.take(view);
    if (view !== null && (wasLost || Date.now() - this.streamTriedAt > STREAM_AGAIN_MS)) {
      this.open();
      return;
    }
    this.wait = view === null ? Math.min(this.wait * 1.5, MOST_POLL_MS) : POLL_MS;
    this.timer = setTimeout(() => this.ask(), this.wait);
  }

  take(view) {
    this.heardAt = Date.now();
    if (!this.paused) this.show(view);
    this.say();
  }

  lost() {
    return !this.paused && Date.now() - this.heardAt > SILENT_MS;
  }

  say() {
    const lost = this.lost() && !this.asleep;
    document.documentElement.classList.toggle("stale", lost);
    if (this.paused) this.put(`paused at ${clock(this.heardAt)}`, "off");
    else if (this.asleep) this.put(`not followed while hidden, since ${clock(this.heardAt)}`, "off");
    else if (lost) {
      const secs = Math.round((Date.now() - this.heardAt) / 1000);
      this.put(`no data since ${clock(this.heardAt)} (${secs} s); trying again`, "bad");
    } else if (this.mode === "live") this.put("live", "good");
    else this.put(`polling every ${POLL_MS / 1000} s`, "warn");
  }

  put(text, state) {
    if (words.textContent !== text) words.textContent = text;
    words.dataset.state = state;
  }
}
