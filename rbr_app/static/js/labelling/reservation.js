// The reservation of an item: renewed while the person is at work, counted down for them to see.
import { serverNow } from "./clock.js";
import { show } from "./fragments.js";
import { post } from "./send.js";

const BEAT_MS = 20000;
const IDLE_MS = 60000;
const SIGNS_OF_LIFE = ["keydown", "pointerdown", "pointermove", "wheel", "scroll", "focus"];

export class Reservation {
  constructor(person) {
    this.person = person;
    this.active = 0; // seconds in use that no beat has told yet
    this.touched = Date.now();
    this.ended = false;
    for (const sign of SIGNS_OF_LIFE) {
      addEventListener(sign, () => { this.touched = Date.now(); }, { passive: true, capture: true });
    }
    if (!this.element) return;
    this.beaten = Date.now();
    setInterval(() => this.second(), 1000);
    if (this.left <= 0) this.beat();
    this.tick();
  }

  get element() { return document.getElementById("label-lease"); }

  get inUse() { return document.visibilityState === "visible" && Date.now() - this.touched < IDLE_MS; }

  get left() {
    if (this.element.dataset.held !== "yes") return 0;
    return Number(this.element.dataset.until) - serverNow();
  }

  second() {
    if (this.inUse) {
      this.active += 1;
      if (Date.now() - this.beaten >= BEAT_MS) this.beat();
    }
    this.tick();
  }

  async beat() {
    this.beaten = Date.now();
    const told = this.active;
    const answer = await post(this.element.dataset.beat, { active_seconds: told }, this.person);
    if (answer.outcome !== "saved") return;
    this.active -= told;
    show(answer.body);
    this.tick();
  }

  tick() {
    const seconds = Math.max(0, Math.ceil(this.left / 1000));
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    this.element.dataset.state = seconds === 0 ? "ended" : seconds < 60 ? "short" : "held";
    this.element.querySelector(".lease-text").textContent = seconds ? `reserved for you ${clock}` : "reservation ended";
    document.getElementById("label-expired")?.toggleAttribute("hidden", seconds > 0);
  }
}
