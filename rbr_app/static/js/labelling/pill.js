// The pill that says whether everything is with the server.
const time = () => new Date().toLocaleTimeString([], { hour12: false });

const counted = (entries) => {
  const word = entries.every((entry) => entry.kind === "answer") ? "answer" : "change";
  return `${entries.length} ${word}${entries.length === 1 ? "" : "s"}`;
};

export class Pill {
  constructor(outbox) {
    this.outbox = outbox;
    this.element = document.getElementById("save-state");
    this.saved = "";
    outbox.addEventListener("saved", () => { this.saved = `Saved ${time()}`; });
    outbox.addEventListener("change", () => this.show());
    this.show();
  }

  show() {
    const entries = this.outbox.pending();
    const { trouble } = this.outbox;
    const kept = this.outbox.unsafe() ? ", not kept if you leave" : "";
    if (trouble === "stranger" && entries.length) this.signIn(`Signed out: ${counted(entries)} kept${kept}`);
    else if (trouble === "unreachable" && entries.length) this.set("error", `Offline: ${counted(entries)} queued${kept} – retrying`);
    else if (trouble === "unreachable") this.set("error", "Offline");
    else if (trouble && entries.length) this.set("error", `The server is in trouble: ${counted(entries)} queued${kept} – retrying`);
    else if (entries.length) this.set("saving", "Saving …");
    else if (this.saved) this.set("saved", this.saved);
  }

  set(state, text) {
    if (this.element.textContent === text) return;
    this.element.dataset.state = state;
    this.element.textContent = text;
  }

  signIn(text) {
    if (this.element.querySelector("a") && this.element.textContent.startsWith(text)) return;
    this.set("error", `${text} – `);
    const link = document.createElement("a");
    link.href = `${document.body.dataset.login}?next=${encodeURIComponent(location.pathname + location.search)}`;
    link.textContent = "sign in";
    this.element.append(link);
  }
}
