// Policy pages: a class lights its cells, toggles answer to keys, stale labels are confirmed by key.
(() => {
  document.documentElement.classList.add("scripted"); // buttons that only repeat what a change does are hidden
  // --- the rule table -------------------------------------------------------
  const table = () => document.querySelector("table.rules");
  const light = (rank) => {
    const rules = table();
    if (!rules) return;
    const shown = rank ?? rules.dataset.pinned;
    if (shown === undefined) delete rules.dataset.lit;
    else rules.dataset.lit = shown;
  };
  const rankOf = (event) => event.target.closest?.("[data-light]")?.dataset.light;
  for (const [enter, leave] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
    document.addEventListener(enter, (event) => {
      const rank = rankOf(event);
      if (rank !== undefined) light(rank);
    });
    document.addEventListener(leave, (event) => {
      if (rankOf(event) !== undefined) light();
    });
  }

  // --- keys -----------------------------------------------------------------
  const TYPING = "input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]";
  const TOGGLES = { t: "true", y: "true", 1: "true", f: "false", n: "false", 2: "false", "-": "", u: "", 3: "" };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
    if (document.querySelector("dialog[open]") || event.target.closest?.(TYPING)) return;
    const key = event.key.toLowerCase();
    const toggle = event.target.closest?.("[data-toggle]");
    if (toggle && key in TOGGLES) {
      const radio = toggle.querySelector(`input[value="${TOGGLES[key]}"]`);
      radio.focus();
      radio.click();
      event.preventDefault();
      return;
    }
    if (key === "h" && !event.repeat) {
      const here = event.target.closest?.("[data-stale]") ?? document;
      const button = here.querySelector("[data-still-holds]");
      if (!button) return;
      button.click();
      event.preventDefault();
    }
  });
})();
