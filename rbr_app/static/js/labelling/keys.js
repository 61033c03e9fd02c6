// Every key of the page. A key acts where nothing else can mean it: not in a field, not with a
// modifier, not under a dialog, not while the page is on its way to the next item.
import { toggle, wants } from "./preferences.js";
import { rowOf } from "./rows.js";

const ANSWERS = { y: "true", 1: "true", n: "false", 2: "false", u: "cannot_decide", 3: "cannot_decide" };
const TYPING = "input, textarea, select, [contenteditable], [role=textbox], [role=combobox], [role=listbox], [role=option]";
const OWN_ENTER = "a, button, summary, input, textarea, select";

const isUndo = (event) => (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "z";
// AltGr types characters, such as [ on a German keyboard; browsers report it as Ctrl and Alt.
const isModified = (event) => event.metaKey || ((event.ctrlKey || event.altKey) && !event.getModifierState("AltGraph"));

// Where the keys of rows act: on a row, or where nothing in particular has the focus.
const isFree = (target) => target === document.body || target.matches("main, .conversation") || rowOf(target);

export const startKeys = ({ session, rows, note }) => {
  const answer = (key) => {
    const row = rows.current();
    if (!row) {
      // Nothing may be said of a row that nobody has looked at.
      rows.focus(rows.firstOpen());
      return;
    }
    rows.give(row, ANSWERS[key]);
    rows.focus(rows.firstOpen(row) ?? row);
  };

  const onRows = (key, event) => {
    if (key === "j") rows.move(1);
    else if (key === "k") rows.move(-1);
    else if (key === "ArrowDown" && !event.target.matches(".conversation")) rows.move(1);
    else if (key === "ArrowUp" && !event.target.matches(".conversation")) rows.move(-1);
    else if (key === "g" && event.shiftKey) rows.toggleGuidelines();
    else if (key === "g") rows.toggleGuideline(rows.current());
    else if (key in ANSWERS) { if (!event.repeat) answer(key); }
    else return false;
    return true;
  };

  const onPage = (key, event) => {
    if (event.repeat) return "zfsrbme[]?".includes(key);
    if (key === "?") document.getElementById("keys").showModal();
    else if (key === "z") session.undo();
    else if (key === "f") session.press("[data-flag]");
    else if (key === "s") session.skip();
    else if (key === "r") session.press("[data-review]");
    else if (key === "b") toggle("blur");
    else if (key === "m") note.field.focus();
    else if (key === "e") document.querySelector("#label-fold > summary")?.click();
    else if (key === "[") session.press("[data-walk=previous]");
    else if (key === "]") session.press("[data-walk=next]");
    else return false;
    return true;
  };

  const onEnter = (event) => {
    if (event.target.closest(OWN_ENTER)) return false;
    if (wants("plain-enter")) session.complete();
    else if (event.target.matches("[data-row]")) rows.toggleGuideline(event.target);
    else return false;
    return true;
  };

  const handled = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      if (!event.repeat) session.complete();
      return true;
    }
    if (event.key === "Escape") {
      if (event.target === note.field) {
        rows.focus(rows.current() ?? rows.firstOpen());
        return true;
      }
      return session.stop();
    }
    if (event.target.closest(TYPING)) return false;
    if (isUndo(event)) {
      if (!event.repeat) session.undo();
      return true;
    }
    if (isModified(event) || session.leaving) return false;
    if (event.key === "Enter") return !event.repeat && onEnter(event);
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    return (isFree(event.target) && onRows(key, event)) || onPage(key, event);
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open], [role=dialog]:not(dialog)")) return;
    if (handled(event)) event.preventDefault();
  });
};
