// What was said and has not reached the server yet. An entry is written to localStorage before it is
// sent and leaves it when the server has answered, so neither a reload nor a dead connection loses
// one. Every entry has a key of its own: adding and removing one is a single step of the storage,
// whatever other tabs do meanwhile. The server knows each entry by its `id`, so one that is sent
// twice counts once.
import { clickTime } from "./clock.js";
import { Lease } from "./lease.js";
import { post, uuid } from "./send.js";
import { drop, keysFrom, read, write } from "./storage.js";

const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30000;

export class Outbox extends EventTarget {
  // Events: `change` (pending, sending, trouble), `saved` and `refused` with {entry, answer}.
  constructor(person) {
    super();
    this.person = person;
    this.prefix = `rbr-outbox:${person}:`;
    this.unkept = new Map(); // where localStorage refused: lasts as long as the page
    this.trouble = ""; // "", "unreachable", "trouble" or "stranger"
    this.sending = false;
    this.retry = FIRST_RETRY_MS;
    this.turn = new Lease(`rbr-outbox-turn:${person}`);
    this.channel = "BroadcastChannel" in window ? new BroadcastChannel(`rbr-outbox-${person}`) : null;
    this.channel?.addEventListener("message", (event) => {
      this.say("elsewhere", event.data);
      this.say("change");
    });
    addEventListener("online", () => this.hurry());
    addEventListener("focus", () => { if (this.trouble) this.hurry(); });
    addEventListener("offline", () => { this.trouble = "unreachable"; this.say("change"); });
    addEventListener("storage", (event) => { if (event.key?.startsWith(this.prefix)) this.say("change"); });
    if (!navigator.onLine) this.trouble = "unreachable";
  }

  say(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }

  // Oldest first, the other tabs' entries among them.
  pending() {
    const kept = keysFrom(this.prefix).map((key) => {
      try { return JSON.parse(read(key)); } catch { return null; }
    });
    return [...kept, ...this.unkept.values()].filter(Boolean).sort((a, b) => a.at - b.at);
  }

  // Entries that a closed page would lose.
  unsafe() { return this.unkept.size; }

  name(entry) { return `${this.prefix}${String(entry.at).padStart(15, "0")}:${entry.id}`; }

  // `group`: entries of one group are sent in order. `replace`: a newer one makes the older needless.
  add({ kind, group, url, fields, replace = false, ...rest }) {
    if (replace) for (const old of this.pending()) if (old.group === group && !old.tried) this.remove(old);
    const entry = { id: uuid(), at: clickTime(), kind, group, url, fields, ...rest };
    if (!write(this.name(entry), JSON.stringify(entry))) this.unkept.set(entry.id, entry);
    this.say("change");
    this.drain();
    return entry;
  }

  remove(entry) {
    drop(this.name(entry));
    this.unkept.delete(entry.id);
  }

  hurry() {
    this.retry = FIRST_RETRY_MS;
    this.drain();
  }

  // Send what there is. One tab sends at a time; the tab whose turn it is sends for all of them.
  async drain() {
    clearTimeout(this.timer);
    if (this.draining) {
      this.again = true;
      return;
    }
    this.draining = true;
    do {
      this.again = false;
      await this.turn.during(() => this.pass());
    } while (this.again && !this.trouble);
    this.draining = false;
    this.say("change");
    if (this.pending().length) {
      this.timer = setTimeout(() => this.drain(), this.retry);
      this.retry = Math.min(this.retry * 2, LONGEST_RETRY_MS);
    }
  }

  // One walk over the entries. A group in which one failed waits, the other groups go on.
  async pass() {
    const waiting = new Set();
    const tried = new Set();
    let failure = "";
    for (;;) {
      const entry = this.pending().find(({ id, group }) => !tried.has(id) && !waiting.has(group));
      if (!entry) break;
      tried.add(entry.id);
      if (!navigator.onLine) failure = "unreachable";
      const outcome = failure === "unreachable" ? failure : await this.send(entry);
      if (outcome === "unreachable" || outcome === "stranger") {
        failure = outcome;
        break;
      }
      if (outcome === "trouble") {
        failure = outcome;
        waiting.add(entry.group);
      }
    }
    this.trouble = failure;
  }

  async send(entry) {
    this.sending = true;
    this.say("change");
    const tried = { ...entry, tried: true };
    if (!this.unkept.has(entry.id)) write(this.name(entry), JSON.stringify(tried));
    const answer = await post(entry.url, {
      ...entry.fields,
      ...(entry.kind === "answer" && { client_id: entry.id, at: new Date(entry.at).toISOString() }),
    }, this.person);
    this.sending = false;
    if (answer.outcome === "saved" || answer.outcome === "refused") {
      this.remove(entry);
      this.retry = FIRST_RETRY_MS;
      this.trouble = "";
      this.say(answer.outcome, { entry, answer });
      this.channel?.postMessage({ completion: entry.completion, kind: entry.kind, key: entry.key, outcome: answer.outcome });
    } else {
      this.trouble = answer.outcome;
    }
    this.say("change");
    return answer.outcome;
  }

  // Whether everything has arrived after one more try.
  async flush() {
    if (this.pending().length) this.hurry();
    while (this.draining) await new Promise((done) => setTimeout(done, 15));
    return this.pending().length === 0;
  }
}
