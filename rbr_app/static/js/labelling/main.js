// The labelling page: wires its parts to each other.
import { heard } from "./clock.js";
import { show } from "./fragments.js";
import { startKeys } from "./keys.js";
import { Note } from "./note.js";
import { Outbox } from "./outbox.js";
import { Pill } from "./pill.js";
import { startPreferences } from "./preferences.js";
import { Reservation } from "./reservation.js";
import { Rows } from "./rows.js";
import { Session } from "./session.js";

const sheet = { ...document.getElementById("label-sheet").dataset };
heard(Number(sheet.now));
startPreferences();
document.documentElement.classList.add("is-live"); // what only a page without scripts needs goes

const outbox = new Outbox(sheet.person);
const rows = new Rows(sheet.completion, outbox);
const note = new Note(sheet, outbox);
const reservation = new Reservation(sheet.person);
const session = new Session(sheet, { outbox, rows, note, reservation });
new Pill(outbox);
startKeys({ session, rows, note });

outbox.addEventListener("change", () => rows.paint());
outbox.addEventListener("saved", ({ detail: { entry, answer } }) => {
  if (entry.kind !== "answer" || entry.completion !== sheet.completion) return;
  // The row of another page about this completion, sent from here, is not the row of this page.
  if ((entry.fields.assignment ?? "") === sheet.item) show(answer.body);
  else session.refresh([entry.key]);
});
outbox.addEventListener("refused", ({ detail: { entry, answer } }) => {
  if (entry.kind !== "answer" || entry.completion !== sheet.completion) return;
  const said = new DOMParser().parseFromString(answer.body, "text/html").querySelector(".row-problem");
  rows.refuse(entry.key, said?.textContent.trim() || `The server refused this answer (${answer.status}).`);
});
outbox.addEventListener("elsewhere", ({ detail }) => {
  // Another tab has sent this, for itself or for this tab.
  if (detail.completion === sheet.completion && detail.kind === "answer") session.refresh([detail.key]);
});
addEventListener("beforeunload", (event) => { if (outbox.unsafe()) event.preventDefault(); });
// A page that comes back from the browser's memory may be older than what was said since.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// A long conversation opens at what is to be judged; its earlier turns are a scroll away.
const panel = document.querySelector(".conversation");
const completion = panel.querySelector(".turn-completion");
const top = panel.getBoundingClientRect();
const box = completion.getBoundingClientRect();
if (box.bottom > top.bottom) panel.scrollTop += Math.min(box.bottom - top.bottom, box.top - top.top);

rows.paint();
outbox.drain();
const wanted = location.hash.startsWith("#label-row-") && document.getElementById(decodeURIComponent(location.hash.slice(1)));
const next = document.querySelector("[data-next]");
if (wanted) rows.focus(wanted);
else if (next) next.focus({ preventScroll: true });
else if (sheet.item) rows.focus(rows.firstOpen());
