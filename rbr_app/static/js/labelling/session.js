// Leaving a completion: complete, skip, undo, review. Nothing is left before what was said about it
// has reached the server.
import { say, show, take } from "./fragments.js";
import { flash, rowNamed } from "./rows.js";
import { page, post } from "./send.js";
import { wants } from "./preferences.js";

const RETRY_MS = 2000;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Session {
  constructor(sheet, { outbox, rows, note, reservation }) {
    Object.assign(this, { sheet, outbox, rows, note, reservation });
    this.leaving = null; // what is under way: its name, until it succeeds or Escape stops it
    this.warned = false; // the next "complete" lets unanswered rows of no rule through
    document.addEventListener("submit", (event) => this.submitted(event));
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.("a[data-complete], a[data-walk], a[data-review]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.go(link.href);
    });
  }

  submitted(event) {
    const { target: form, submitter } = event;
    const act = form.matches("[data-complete-form]") ? () => this.complete()
      : form.matches("[data-skip-form]") ? () => this.skip()
      : form.matches("[data-undo-form]") ? () => this.undo()
      : form.matches("[data-reveal-form]") ? () => this.reveal(form)
      : form.matches("[data-confirm-form]") ? () => this.confirm(form)
      : form.matches("[data-answer-form]") ? () => this.rows.send(form.closest("[data-row]"), submitter)
      : null;
    if (!act) return;
    event.preventDefault();
    act();
  }

  press(selector) {
    const target = document.querySelector(`${selector}:not([disabled])`);
    if (!target) return;
    flash(target);
    target.click();
  }

  // --- complete and skip ----------------------------------------------------------------------

  complete() {
    if (this.leaving) return;
    this.note.send();
    const form = document.querySelector("[data-complete-form]");
    if (!form) {
      this.onward();
      return;
    }
    const wanting = this.rows.unanswered({ required: true });
    const optional = this.rows.unanswered({ required: false });
    const open = wanting.length ? wanting : this.warned ? [] : optional;
    if (open.length) {
      this.warned = !wanting.length;
      this.rows.focus(open[0]);
      say(wanting.length
        ? `${wanting.length} unanswered. “Cannot decide” is an answer too.`
        : `${optional.length} unanswered that decide no class. Once more completes without them.`, true);
      return;
    }
    flash(form.querySelector("button"));
    this.leave("complete", form, wants("show-reveal") ? { stay: "on" } : {});
  }

  // On the free page and on a completed item there is nothing to complete.
  onward() {
    const next = document.querySelector("[data-next], a[data-complete]");
    if (!next) say("This is the last one of the list.");
    else if (next.href) this.go(next.href);
    else if (this.reachable()) next.form.submit();
  }

  skip() {
    const form = document.querySelector("[data-skip-form]");
    if (this.leaving || !form) return;
    this.note.send();
    flash(form.querySelector("button"));
    this.leave("skip", form, {});
  }

  async leave(name, form, fields) {
    this.leaving = name;
    const word = name === "complete" ? "completes" : "is skipped";
    const stopped = () => this.leaving !== name;
    while (!(await this.outbox.flush())) {
      if (stopped()) return;
      const n = this.outbox.pending().length;
      say(`${n} not sent yet: this item ${word} as soon as the server has them. Esc stops that.`, true);
      await pause(RETRY_MS);
      if (stopped()) return;
    }
    for (;;) {
      const answer = await post(form.action, { ...fields, active_seconds: this.reservation.active }, this.sheet.person);
      if (stopped()) return;
      if (answer.to) {
        location.assign(answer.to);
        return;
      }
      if (answer.status === 422) {
        this.leaving = null;
        show(answer.body);
        this.rows.focus(this.rows.unanswered({ required: true })[0]);
        return;
      }
      if (answer.outcome === "refused" || answer.outcome === "stranger") {
        this.leaving = null;
        say(answer.outcome === "refused" ? `The server refused this (${answer.status}).` : "You are signed out. Sign in again, then go on here.", true);
        return;
      }
      say(`The server cannot be reached: this item ${word} as soon as it can. Esc stops that.`, true);
      await pause(RETRY_MS);
      if (stopped()) return;
    }
  }

  stop() {
    if (!this.leaving) return false;
    this.leaving = null;
    say("Stopped. Nothing was left or lost.");
    return true;
  }

  // --- undo -----------------------------------------------------------------------------------

  async undo() {
    if (this.leaving) return;
    const form = document.querySelector("[data-undo-form]");
    const waiting = this.outbox.pending().filter((entry) => entry.kind === "answer");
    const newest = waiting.at(-1);
    if (newest && !newest.tried) {
      // It never left this browser, so there is nothing that the server would have to take back.
      this.outbox.remove(newest);
      this.outbox.say("change");
      if (newest.completion === this.sheet.completion) this.rows.focus(rowNamed(newest.key));
      say(`${newest.key}: taken back before it was sent.`);
      return;
    }
    this.leaving = "undo";
    try {
      if (!(await this.outbox.flush())) {
        say("Offline: what has been sent can be taken back when the server is there again.", true);
        return;
      }
      flash(document.querySelector("[data-undo-form] button"));
      const answer = await post(form.action, { event: document.querySelector("[data-undo-form] [name=event]").value }, this.sheet.person);
      if (answer.outcome !== "saved") {
        say("The server cannot be reached: nothing was taken back.", true);
        return;
      }
      await this.undone(JSON.parse(answer.body));
    } finally { this.leaving = null; }
  }

  async undone(said) {
    if (said.undone && said.completion !== Number(this.sheet.completion)) {
      this.leaving = null;
      this.go(said.page);
      return;
    }
    await this.refresh(said.key ? [said.key] : []);
    if (said.key) this.rows.focus(rowNamed(said.key));
    say(said.text, !said.undone);
  }

  // What was answered before the reveal has to arrive before it.
  async reveal(form) {
    this.leaving = "reveal";
    this.note.send();
    if (await this.outbox.flush()) form.submit();
    else say("Offline: answers are waiting to be sent. What others say is shown after that.", true);
    this.leaving = null;
  }

  // --- the rest -------------------------------------------------------------------------------

  async confirm(form) {
    const answer = await post(form.action, Object.fromEntries(new FormData(form)), this.sheet.person);
    if (answer.outcome === "saved") show(answer.body);
    else say("The server cannot be reached: nothing was confirmed.", true);
    this.rows.paint();
  }

  // Rows as the server has them now, such as after an answer in another tab.
  async refresh(keys) {
    const now = await page(location.href);
    if (!now) return;
    take(now, [...keys.map((key) => `label-row-${key}`), "label-implied", "label-decisions", "label-undo"]);
    this.rows.paint();
  }

  reachable() {
    if (this.outbox.trouble !== "unreachable") return true;
    say("Offline: the next page opens when the server can be reached.", true);
    return false;
  }

  // Answers that wait are sent by whichever page comes next.
  go(href) {
    this.note.send();
    if (this.reachable()) location.assign(href);
  }
}
