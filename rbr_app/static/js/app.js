// What every page needs around htmx: errors that are seen, and a session that has ended.
(() => {
  const toast = (text) => {
    const box = document.getElementById("toast");
    if (!box) return;
    box.textContent = text;
    box.hidden = false;
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => { box.hidden = true; }, 6000);
  };

  // A poll that fails now and then is no news; the next one tells.
  const isPoll = (ctx) => ctx.sourceElement?.getAttribute?.("hx-trigger")?.startsWith("every");

  document.addEventListener("htmx:before:response", (event) => {
    const { ctx } = event.detail;
    const { raw, status } = ctx.response;
    const login = document.body.dataset.login;
    if (raw.redirected && new URL(raw.url).pathname === login) {
      // Signed out meanwhile: the login page must not end up inside a fragment.
      event.preventDefault();
      location.href = `${login}?next=${encodeURIComponent(location.pathname + location.search)}`;
      return;
    }
    // Refused input and a stale save come back as the fragment that says so.
    if (status === 422 || status === 409 || status < 400) return;
    event.preventDefault();
    document.dispatchEvent(new CustomEvent("rbr:failed", { detail: { ctx } }));
    if (!isPoll(ctx)) toast(`The server refused this (${status}). Nothing was changed here.`);
  });

  document.addEventListener("htmx:error", (event) => {
    const { ctx } = event.detail;
    if (!ctx) return;
    document.dispatchEvent(new CustomEvent("rbr:failed", { detail: { ctx } }));
    if (!isPoll(ctx) && !ctx.sourceElement?.closest?.("[data-row]")) {
      toast("The server cannot be reached. Try again in a moment.");
    }
  });

  // Filters that say nothing stay out of the address.
  document.addEventListener("htmx:config:request", (event) => {
    const { ctx } = event.detail;
    if (!ctx.sourceElement?.matches?.("form.filters, form.pair-form, form.playground")) return;
    const body = ctx.request.body;
    for (const [name, value] of [...body]) if (value === "") body.delete(name);
  });

  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
    const opener = event.target.closest?.("[data-open]");
    if (opener) document.getElementById(opener.dataset.open)?.showModal();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
})();
