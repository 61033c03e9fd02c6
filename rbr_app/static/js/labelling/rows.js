// The propositions: which one the keys act on, and what was answered but is not with the server yet.
const FLASH_MS = 160;

const all = () => [...document.querySelectorAll("[data-row]")];
export const rowOf = (element) => element?.closest?.("[data-row]");
export const rowNamed = (key) => document.getElementById(`label-row-${key}`);
export const isAnswered = (row) => "answered" in row.dataset || "pending" in row.dataset;

// Rows in a closed fold cannot be seen, so no key leads to them.
const inSight = () => all().filter((row) => !row.closest("details.label-fold:not([open])"));

export class Rows {
  constructor(completion, outbox) {
    this.completion = completion;
    this.outbox = outbox;
    this.key = ""; // the row that the keys act on, also while nothing has the focus
    document.addEventListener("focusin", (event) => {
      const row = rowOf(event.target);
      if (row) this.mark(row.dataset.row);
    });
  }

  mark(key) {
    this.key = key;
    for (const row of all()) row.classList.toggle("is-current", row.dataset.row === key);
  }

  current() {
    const row = rowNamed(this.key);
    return row && inSight().includes(row) ? row : null;
  }

  focus(row) {
    if (!row) return;
    const fold = row.closest("details.label-fold");
    if (fold) fold.open = true;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }

  move(step) {
    const rows = inSight();
    const at = rows.indexOf(this.current());
    this.focus(rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : (at + step + rows.length) % rows.length]);
  }

  // The next row without an answer, from the top again at the end; none if all have one.
  firstOpen(after = null) {
    const rows = inSight();
    const at = rows.indexOf(after);
    return [...rows.slice(at + 1), ...rows.slice(0, at + 1)].find((row) => !isAnswered(row));
  }

  unanswered({ required }) {
    return inSight().filter((row) => !isAnswered(row) && (!required || "required" in row.dataset));
  }

  give(row, answer) {
    const button = row?.querySelector(`button[name=answer][value=${answer}]`);
    if (!button) return;
    this.send(row, button);
    flash(button);
  }

  // The form's own address and fields, so that the page says in one place what an answer is.
  send(row, button) {
    const form = button.form;
    row.querySelector(".row-problem").textContent = "";
    this.outbox.add({
      kind: "answer",
      group: `${this.completion}/${row.dataset.row}`,
      url: form.action,
      fields: Object.fromEntries(new FormData(form, button)),
      completion: this.completion,
      key: row.dataset.row,
      answer: button.value,
    });
  }

  // Show the answers that wait, the newest of each row.
  paint() {
    const waiting = new Map();
    for (const entry of this.outbox.pending()) {
      if (entry.kind === "answer" && entry.completion === this.completion) waiting.set(entry.key, entry.answer);
    }
    for (const row of all()) {
      const answer = waiting.get(row.dataset.row);
      if (answer) row.dataset.pending = answer;
      else delete row.dataset.pending;
      row.classList.toggle("is-current", row.dataset.row === this.key);
    }
  }

  refuse(key, text) {
    const problem = rowNamed(key)?.querySelector(".row-problem");
    if (problem) problem.textContent = text;
  }

  toggleGuideline(row) {
    const more = row?.querySelector("details");
    if (more) more.open = !more.open;
  }

  toggleGuidelines() {
    const folds = inSight().map((row) => row.querySelector("details")).filter(Boolean);
    const open = folds.some((fold) => !fold.open);
    for (const fold of folds) fold.open = open;
  }
}

export const flash = (element) => {
  element.classList.add("is-flashing");
  setTimeout(() => element.classList.remove("is-flashing"), FLASH_MS);
};
