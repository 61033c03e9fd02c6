// The note and the flag. What is typed is in the browser's storage at once and with the server after
// a pause, on leaving the field and before the item is left.
import { drop, read, write } from "./storage.js";

const PAUSE_MS = 700;

export class Note {
  constructor(sheet, outbox) {
    this.sheet = sheet;
    this.outbox = outbox;
    this.field = document.getElementById("label-note-text");
    this.draft = `rbr-note:${sheet.person}:${sheet.completion}`;
    this.sent = this.field.value;
    const kept = read(this.draft);
    if (kept !== null && kept !== this.sent) {
      // Typed here and never sent: the page was closed in between.
      this.field.value = kept;
      this.send();
    }
    this.field.addEventListener("input", () => {
      write(this.draft, this.field.value);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.send(), PAUSE_MS);
    });
    this.field.addEventListener("blur", () => this.send());
    this.field.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (event.submitter?.matches("[data-flag]")) this.flag();
      else this.send();
    });
    outbox.addEventListener("saved", ({ detail: { entry } }) => {
      if (entry.group === this.group("text") && read(this.draft) === entry.fields.text) drop(this.draft);
    });
    outbox.addEventListener("refused", ({ detail: { entry, answer } }) => {
      if (entry.group !== this.group("text")) return;
      const said = new DOMParser().parseFromString(answer.body, "text/html").querySelector(".field-error");
      this.field.setCustomValidity(said?.textContent || "The server refused this note.");
      this.field.reportValidity();
      this.sent = null;
    });
  }

  group(part) { return `note/${this.sheet.completion}/${part}`; }

  put(part, fields) {
    const { completion } = this.sheet;
    this.outbox.add({ kind: "note", group: this.group(part), url: this.sheet.note, fields, completion, key: part, replace: true });
  }

  send() {
    clearTimeout(this.timer);
    this.field.setCustomValidity("");
    if (this.field.value === this.sent) return;
    this.sent = this.field.value;
    this.put("text", { text: this.sent });
  }

  flag() {
    const buttons = document.querySelectorAll("[data-flag]");
    const on = buttons[0].getAttribute("aria-pressed") !== "true";
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(on));
      button.value = String(!on);
    }
    this.put("flag", { flagged: String(on) });
    return on;
  }
}
