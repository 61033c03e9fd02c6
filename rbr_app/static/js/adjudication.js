// Adjudication: keys, chips that adopt an answer, drafts that survive leaving a card.
(() => {
  const FLASH_MS = 160;
  const TYPING = "input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable], [role=textbox], [role=combobox], [role=listbox], [role=option]";
  const ANSWERS = { y: "true", n: "false", u: "cannot_decide" };
  const DRAFT = "rbr-adjudication:";
  const form = () => document.getElementById("adjudication-form");
  const card = () => document.getElementById("adjudication-card");
  let busy = false;

  const flash = (element) => {
    if (!element) return;
    element.classList.add("is-flashing");
    setTimeout(() => element.classList.remove("is-flashing"), FLASH_MS);
  };
  const choose = (name, value) => {
    const radio = form()?.querySelector(`input[name=${name}][value="${value}"]`);
    if (!radio) return;
    radio.checked = true;
    flash(radio.closest("label"));
    keep();
  };
  const walk = (way) => {
    const link = document.querySelector(`[data-walk=${way}]`);
    flash(link);
    link?.click();
  };

  // --- drafts: what was typed on a card is there when it is opened again -----
  const draftKey = () => DRAFT + location.pathname + card()?.dataset.cell;
  const FIELDS = ["answer", "reason", "note", "flag", "flag_text"];
  const keep = () => {
    if (!form()) return;
    const data = new FormData(form());
    const typed = Object.fromEntries(FIELDS.map((name) => [name, data.get(name) || ""]));
    try {
      if (Object.values(typed).some(Boolean)) sessionStorage.setItem(draftKey(), JSON.stringify(typed));
      else sessionStorage.removeItem(draftKey());
    } catch { /* no storage: the card forgets when it is left */ }
  };
  const restore = () => {
    let typed = null;
    try { typed = JSON.parse(sessionStorage.getItem(draftKey()) || "null"); } catch { /* no storage */ }
    // A card that came back refused holds what was typed already.
    if (!typed || !form() || form().querySelector("[role=alert]")) return;
    for (const name of ["answer", "reason"]) {
      const radio = form().querySelector(`input[name=${name}][value="${typed[name]}"]`);
      if (radio) radio.checked = true;
    }
    form().elements.note.value = typed.note;
    form().elements.flag_text.value = typed.flag_text;
    form().elements.flag.checked = Boolean(typed.flag);
  };
  let saving = null;
  document.addEventListener("input", (event) => { if (event.target.form === form()) keep(); });

  // --- requests ---------------------------------------------------------------
  const isOurs = (ctx) => Boolean(ctx?.sourceElement?.closest?.("#adjudication, #dispute-filter"));
  document.addEventListener("htmx:before:request", (event) => {
    const { ctx } = event.detail;
    if (!isOurs(ctx)) return;
    busy = true;
    saving = ctx.sourceElement === form() ? draftKey() : null;
  });
  document.addEventListener("htmx:finally:request", (event) => {
    const { ctx } = event.detail;
    if (!isOurs(ctx) && !busy) return;
    busy = false;
    if (saving && ctx.response?.status === 200) {
      try { sessionStorage.removeItem(saving); } catch { /* nothing was kept */ }
    }
    saving = null;
  });
  document.addEventListener("htmx:after:swap", (event) => {
    if (!isOurs(event.detail.ctx)) return;
    opened();
    const wrong = form()?.querySelector("[role=alert]");
    const target = wrong?.closest("fieldset, .field")?.querySelector("input, textarea")
      || document.getElementById("case-title");
    target?.focus({ preventScroll: !wrong });
    const top = card()?.getBoundingClientRect().top;
    if (!wrong && (top < 0 || top > innerHeight)) card().scrollIntoView();
  });

  // --- keys and chips ---------------------------------------------------------
  document.addEventListener("click", (event) => {
    const chip = event.target.closest?.("[data-adopt]");
    if (chip) choose("answer", chip.dataset.adopt);
  });
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!busy && !event.repeat) form()?.requestSubmit();
      return;
    }
    if (event.key === "Escape" && event.target.closest("#adjudication-form textarea")) {
      event.target.blur();
      return;
    }
    const graph = event.getModifierState("AltGraph");
    if (event.target.closest(TYPING) || event.metaKey || ((event.ctrlKey || event.altKey) && !graph)) return;
    if (busy || event.repeat) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key === "?") document.getElementById("keys").showModal();
    else if (key === "j") walk("next");
    else if (key === "k") walk("previous");
    else if (!form()) return;
    else if (key in ANSWERS) choose("answer", ANSWERS[key]);
    else if (key >= "1" && key <= "6" && key.length === 1) {
      const reasons = [...form().querySelectorAll("input[name=reason]")];
      choose("reason", reasons[Number(key) - 1]?.value);
    } else if (key === "m") form().elements.note.focus();
    else if (key === "f") {
      const flag = form().elements.flag;
      flag.checked = !flag.checked;
      keep();
      if (flag.checked) form().elements.flag_text.focus();
    } else return;
    event.preventDefault();
  });

  // --- blur: as on the labelling page -------------------------------------------
  const BLUR = "rbr-blur";
  const box = document.querySelector("[data-blur-toggle]");
  const blur = (on) => document.documentElement.classList.toggle("is-blurred", on);
  try { box.checked = localStorage.getItem(BLUR) === "on"; } catch { /* no storage: starts off */ }
  blur(box.checked);
  box.addEventListener("change", () => {
    blur(box.checked);
    try { localStorage.setItem(BLUR, box.checked ? "on" : "off"); } catch { /* lasts for this page */ }
  });

  // A card opens at its completion, and its line in the list is in sight.
  const opened = () => {
    restore();
    const panel = document.querySelector(".case-conversation");
    const completion = panel?.querySelector(".turn-completion");
    if (completion) {
      const below = completion.getBoundingClientRect().bottom - panel.getBoundingClientRect().bottom;
      const above = completion.getBoundingClientRect().top - panel.getBoundingClientRect().top;
      if (below > 0) panel.scrollTop += Math.min(below, above);
    }
    const list = document.querySelector(".dispute-list");
    const line = list?.querySelector("[aria-current]");
    if (line) list.scrollTop += line.getBoundingClientRect().top - list.getBoundingClientRect().top - list.clientHeight / 3;
  };
  opened();
})();
