// The labelling page: keys, the state of saving, answers that could not be sent.
(() => {
  const RETRY_MS = 4000;
  const FLASH_MS = 160;
  const ANSWERS = { y: "true", 1: "true", n: "false", 2: "false", u: "cannot_decide", 3: "cannot_decide" };
  const TYPING = "input, textarea, select, [contenteditable], [role=textbox], [role=combobox], [role=listbox], [role=option]";
  const failed = new Map(); // proposition -> answer that still has to be sent

  const rows = () => [...document.querySelectorAll("[data-row]")];
  const state = document.getElementById("save-state");
  const show = (name, text) => { state.dataset.state = name; state.textContent = text; };

  // --- saving -------------------------------------------------------------
  const rowOf = (element) => element?.closest?.("[data-row]");
  let waiting = 0;

  const report = () => {
    if (failed.size) {
      show("error", `Error: ${failed.size} answer${failed.size > 1 ? "s" : ""} not saved – retrying`);
    } else if (waiting > 0) {
      show("saving", "Saving …");
    } else {
      show("saved", `Saved ${new Date().toLocaleTimeString([], { hour12: false })}`);
    }
  };

  document.addEventListener("htmx:before:request", (event) => {
    if (!rowOf(event.detail.ctx.sourceElement)) return;
    waiting += 1;
    report();
  });
  document.addEventListener("htmx:finally:request", (event) => {
    const { ctx } = event.detail;
    const row = rowOf(ctx.sourceElement);
    if (!row) return;
    waiting = Math.max(0, waiting - 1);
    if (ctx.status === "swapped" && ctx.response?.status < 400) failed.delete(row.dataset.row);
    row.classList.toggle("is-unsaved", failed.has(row.dataset.row));
    report();
  });
  document.addEventListener("rbr:failed", (event) => {
    const { ctx } = event.detail;
    const row = rowOf(ctx.sourceElement);
    const answer = ctx.request?.submitter?.value;
    if (row && answer) failed.set(row.dataset.row, answer);
  });
  setInterval(() => {
    if (waiting) return;
    for (const [key, answer] of failed) give(document.getElementById(`label-row-${key}`), answer);
  }, RETRY_MS);
  addEventListener("beforeunload", (event) => { if (failed.size || waiting) event.preventDefault(); });

  const give = (row, answer) => {
    const button = row?.querySelector(`button[name=answer][value=${answer}]`);
    if (!button) return;
    button.form.requestSubmit(button);
    button.classList.add("is-flashing");
    setTimeout(() => button.classList.remove("is-flashing"), FLASH_MS);
  };

  // --- moving -------------------------------------------------------------
  const focus = (row) => {
    if (!row) return;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest", behavior: "auto" });
  };
  const current = () => rowOf(document.activeElement);
  const move = (step) => {
    const all = rows();
    const at = all.indexOf(current());
    const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : (at + step + all.length) % all.length;
    focus(all[next]);
  };
  const nextOpen = (row) => {
    const all = rows();
    const at = all.indexOf(row);
    const order = [...all.slice(at + 1), ...all.slice(0, at)];
    return order.find((other) => !("answered" in other.dataset)) || all[at + 1] || row;
  };
  const walk = (way) => document.querySelector(`[data-walk=${way}]`)?.click();

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      walk("next");
      return;
    }
    const graph = event.getModifierState("AltGraph");
    if (event.target.closest(TYPING) || event.metaKey || ((event.ctrlKey || event.altKey) && !graph)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const row = current();
    if (key === "?") document.getElementById("keys").showModal();
    else if (key === "[") walk("previous");
    else if (key === "]") walk("next");
    else if (key === "j") move(1);
    else if (key === "k") move(-1);
    else if ((key === "ArrowDown" || key === "ArrowUp") && row) move(key === "ArrowDown" ? 1 : -1);
    else if (key === "g" && row) {
      const more = row.querySelector("details");
      more.open = !more.open;
    } else if (row && key in ANSWERS) {
      if (event.repeat) return;
      give(row, ANSWERS[key]);
      focus(nextOpen(row));
    } else return;
    event.preventDefault();
  });

  // --- blur ---------------------------------------------------------------
  const BLUR = "rbr-blur";
  const box = document.querySelector("[data-blur-toggle]");
  const blur = (on) => document.documentElement.classList.toggle("is-blurred", on);
  try { box.checked = localStorage.getItem(BLUR) === "on"; } catch { /* no storage: starts off */ }
  blur(box.checked);
  box.addEventListener("change", () => {
    blur(box.checked);
    try { localStorage.setItem(BLUR, box.checked ? "on" : "off"); } catch { /* lasts for this page */ }
  });

  // A long conversation opens at what is to be labelled; its earlier turns are a scroll away.
  const panel = document.querySelector(".conversation");
  const completion = panel.querySelector(".turn-completion");
  const below = completion.getBoundingClientRect().bottom - panel.getBoundingClientRect().bottom;
  const above = completion.getBoundingClientRect().top - panel.getBoundingClientRect().top;
  if (below > 0) panel.scrollTop += Math.min(below, above);

  const wanted = location.hash.startsWith("#label-row-") && document.getElementById(location.hash.slice(1));
  if (wanted) focus(wanted);
})();
