// The draft editor: what is typed is kept until the server has it; keys; the dialog of a save.
(() => {
  const STORE = "rbr-draft";
  const draft = () => document.getElementById("draft");
  const forms = () => [...document.querySelectorAll("form[data-keep]")];
  const nameOf = (form) => `${STORE}:${draft().dataset.draft}:${form.dataset.keep}`;
  const storage = {
    get: (key) => { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* full or private: the server still has it after the next save */ } },
    drop: (key) => { try { localStorage.removeItem(key); } catch { /* nothing was kept */ } },
  };

  // --- keeping what is typed -------------------------------------------------
  const isText = (field) => field.matches("textarea, input:not([type=radio], [type=checkbox], [type=hidden])");
  const texts = (form) => [...form.elements].filter((field) => field.name && isText(field));
  const keep = (form) => {
    const typed = texts(form).filter((field) => field.value !== field.defaultValue);
    if (!typed.length) storage.drop(nameOf(form));
    else storage.set(nameOf(form), Object.fromEntries(typed.map((field) => [field.name, field.value])));
  };
  const restore = (form) => {
    const kept = storage.get(nameOf(form));
    const fields = texts(form).filter((field) => kept && field.name in kept && field.value !== kept[field.name]);
    for (const field of fields) field.value = kept[field.name];
    form.querySelector(".kept").hidden = !fields.length;
  };
  document.addEventListener("input", (event) => {
    const form = event.target.form;
    if (!form?.dataset.keep) return;
    if (isText(event.target)) keep(form);
    state("edited", "Not saved yet");
  });
  document.addEventListener("click", (event) => {
    const form = event.target.closest?.("[data-forget-kept]")?.closest("form");
    if (!form) return;
    storage.drop(nameOf(form));
    for (const field of texts(form)) field.value = field.defaultValue;
    form.querySelector(".kept").hidden = true;
    state("saved", "Saved text");
  });
  const forgetAll = () => {
    const prefix = `${STORE}:${draft().dataset.draft}:`;
    try {
      for (const key of Object.keys(localStorage)) if (key.startsWith(prefix)) localStorage.removeItem(key);
    } catch { /* nothing was kept */ }
  };

  // --- what the server says --------------------------------------------------
  const state = (name, text) => {
    const pill = document.getElementById("draft-state");
    if (!pill) return;
    pill.dataset.state = name;
    pill.textContent = text;
  };
  const sent = new WeakMap(); // request context -> the form's name and what it held
  document.addEventListener("htmx:before:request", (event) => {
    const { ctx } = event.detail;
    const form = ctx.sourceElement?.closest?.("form[data-keep]");
    if (!form) return;
    sent.set(ctx, { key: nameOf(form), values: Object.fromEntries(texts(form).map((f) => [f.name, f.value])) });
    state("saving", "Saving …");
  });
  document.addEventListener("htmx:after:swap", (event) => {
    const { ctx } = event.detail;
    const was = sent.get(ctx);
    if (was && ctx.response?.status < 400) {
      // What was typed while the request was under way is still to be saved.
      const kept = storage.get(was.key) ?? {};
      for (const [name, value] of Object.entries(was.values)) if (kept[name] === value) delete kept[name];
      if (Object.keys(kept).length) storage.set(was.key, kept);
      else storage.drop(was.key);
    }
    forms().forEach(restore);
    const dialog = document.getElementById("draft-dialog");
    if (ctx.target?.id === "draft-save" && !dialog.open) dialog.showModal();
  });
  document.addEventListener("rbr:failed", (event) => {
    if (event.detail.ctx.sourceElement?.closest?.("form[data-keep]")) {
      state("error", "Not saved: kept in this browser");
    }
  });
  document.addEventListener("htmx:after:request", (event) => {
    const { ctx } = event.detail;
    const isDone = ctx.sourceElement?.closest?.("[data-forget]") && ctx.response?.status < 400;
    if (isDone && ctx.request?.method?.toUpperCase() === "POST") forgetAll();
  });
  addEventListener("beforeunload", (event) => {
    const unsaved = forms().some((form) => texts(form).some((field) => field.value !== field.defaultValue));
    if (unsaved && !navigator.onLine) event.preventDefault();
  });

  // --- keys and the dialog ----------------------------------------------------
  const TOGGLES = { t: "true", y: "true", 1: "true", f: "false", n: "false", 2: "false", "-": "", u: "", 3: "" };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      const form = event.target.form ?? document.querySelector("form[data-keep]");
      if (!form) return;
      event.preventDefault();
      form.requestSubmit();
      return;
    }
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    const toggle = event.target.closest?.("[data-toggle]");
    if (!toggle) return;
    if (event.key.toLowerCase() in TOGGLES) {
      const radio = toggle.querySelector(`input[value="${TOGGLES[event.key.toLowerCase()]}"]`);
      radio.focus();
      radio.click();
      event.preventDefault();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      // Up and down walk the column; left and right stay with the toggle.
      const cell = toggle.closest("td");
      const row = cell?.parentElement[event.key === "ArrowDown" ? "nextElementSibling" : "previousElementSibling"];
      const next = row?.cells[cell.cellIndex]?.querySelector("input:checked");
      if (!next) return;
      next.focus();
      event.preventDefault();
    }
  });
  document.addEventListener("click", (event) => {
    const closer = event.target.closest?.("#draft-dialog [data-close]");
    if (!closer) return;
    document.getElementById("draft-dialog").close();
    if (!closer.hasAttribute("hx-get")) event.preventDefault();
  });

  forms().forEach(restore);
  document.querySelector("#draft-outline [aria-current]")?.scrollIntoView({ block: "nearest" });
})();
