// One tab at a time. Web Locks do that where the page has a secure context; over plain HTTP a stamp
// in localStorage does it nearly as well. Nearly is enough: the server takes no entry twice.
import { drop, read, write } from "./storage.js";

const STAMP_MS = 5000;

export class Lease {
  constructor(name) {
    this.name = name;
    this.owner = Math.random().toString(36).slice(2);
  }

  async during(work) {
    if (navigator.locks) return navigator.locks.request(this.name, work);
    const [owner, until] = (read(this.name) || "").split(" ");
    if (owner && owner !== this.owner && Number(until) > Date.now()) return undefined;
    const stamp = () => write(this.name, `${this.owner} ${Date.now() + STAMP_MS}`);
    stamp();
    const timer = setInterval(stamp, STAMP_MS / 2);
    try { return await work(); } finally {
      clearInterval(timer);
      drop(this.name);
    }
  }
}
