// Choices of one person at one browser: they say how the page looks and feels, not what is saved.
import { read, write } from "./storage.js";

const IN_FORCE = { blur: "is-blurred" };

export const wants = (name) => read(`rbr-${name}`) === "on";

const set = (name, on) => {
  write(`rbr-${name}`, on ? "on" : "off");
  if (IN_FORCE[name]) document.documentElement.classList.toggle(IN_FORCE[name], on);
  for (const box of document.querySelectorAll(`[data-preference="${name}"]`)) box.checked = on;
};

export const toggle = (name) => set(name, !wants(name));

export const startPreferences = () => {
  for (const box of document.querySelectorAll("[data-preference]")) {
    set(box.dataset.preference, wants(box.dataset.preference));
    box.addEventListener("change", () => set(box.dataset.preference, box.checked));
  }
};
