// Light, dark, or as the system has it. Loaded before the first paint so that nothing flashes.
(() => {
  const KEY = "rbr-theme";
  const ORDER = ["system", "light", "dark"];
  const root = document.documentElement;
  const read = () => {
    try { return localStorage.getItem(KEY) || "system"; } catch { return "system"; }
  };
  const apply = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    const button = document.querySelector("[data-theme-toggle]");
    if (!button) return;
    const label = theme === "system" ? "Theme: follow the system" : `Theme: ${theme}`;
    button.setAttribute("aria-label", label);
    button.title = label;
  };
  apply(read());
  document.addEventListener("DOMContentLoaded", () => {
    apply(read());
    document.querySelector("[data-theme-toggle]")?.addEventListener("click", () => {
      const next = ORDER[(ORDER.indexOf(read()) + 1) % ORDER.length];
      try { localStorage.setItem(KEY, next); } catch { /* private window: lasts for this page */ }
      apply(next);
    });
  });
})();
