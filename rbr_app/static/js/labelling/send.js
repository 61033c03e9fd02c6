// One POST to the server, and what its answer means for whoever waits for it.
//
//   saved       the server has it; `body` is the fragment, `to` where it leads
//   refused     it will never be accepted; `body` says why
//   stranger    this browser is signed out, or signed in as somebody else: keep it
//   trouble     the server is there but could not do it now: try again later
//   unreachable there is no server to be reached: try again later
import { heard } from "./clock.js";

const PATIENCE_MS = 15000;

const cookie = (name) => document.cookie.split("; ").find((part) => part.startsWith(`${name}=`))?.split("=")[1];

// The cookie rather than the page's form: signing in again in another tab gives it a new value.
const token = () => cookie("csrftoken") || document.querySelector("[name=csrfmiddlewaretoken]")?.value || "";

export const post = async (url, fields, person) => {
  const body = new URLSearchParams(fields);
  // Django believes the body before the header, and a form that waited may hold an old token.
  body.delete("csrfmiddlewaretoken");
  let response;
  try {
    response = await fetch(url, {
      method: "POST",
      body,
      headers: { "HX-Request": "true", "X-CSRFToken": token(), "X-Labeller": person },
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch { return { outcome: "unreachable" }; }
  const text = await response.text().catch(() => null);
  if (text === null) return { outcome: "unreachable" };
  heard(Number(response.headers.get("X-Now") ?? NaN));
  const said = { status: response.status, body: text, to: response.headers.get("HX-Redirect") };
  if (response.redirected && new URL(response.url).pathname === document.body.dataset.login) {
    return { outcome: "stranger", ...said };
  }
  if (response.ok) return { outcome: "saved", ...said };
  if ([401, 403, 409].includes(response.status)) return { outcome: "stranger", ...said };
  if (response.status >= 500 || [408, 425, 429].includes(response.status)) return { outcome: "trouble", ...said };
  return { outcome: "refused", ...said };
};

// A page of this site as a document, or nothing: signed out, or out of reach.
export const page = async (url) => {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!response.ok || (response.redirected && new URL(response.url).pathname === document.body.dataset.login)) return null;
    heard(Number(response.headers.get("X-Now") ?? NaN));
    return new DOMParser().parseFromString(await response.text(), "text/html");
  } catch { return null; }
};

// Randomness is there without a secure context, `crypto.randomUUID` is not.
export const uuid = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
};
