// Puts what the server sent in the place of what is shown. Focus, folds and what somebody is typing
// stay as they are: they belong to the person, not to the server.
const swap = (fresh) => {
  const shown = document.getElementById(fresh.id);
  if (!shown) return;
  const focused = shown.contains(document.activeElement) ? document.activeElement : null;
  for (const details of shown.querySelectorAll("details[id][open]")) {
    const again = fresh.querySelector(`#${CSS.escape(details.id)}`);
    if (again) again.open = true;
  }
  shown.replaceWith(fresh);
  if (!focused) return;
  const target = focused.id === fresh.id ? fresh : focused.id && document.getElementById(focused.id);
  (target || fresh.querySelector("button, a") || fresh).focus({ preventScroll: true });
};

export const show = (html) => {
  const parts = document.createElement("template");
  parts.innerHTML = html;
  for (const fresh of [...parts.content.children]) if (fresh.id) swap(document.adoptNode(fresh));
};

// The named parts of another document, such as this page as it is now.
export const take = (source, ids) => {
  for (const id of ids) {
    const fresh = source.getElementById(id);
    if (fresh) swap(document.adoptNode(fresh));
  }
};

export const say = (text, bad = false) => {
  const line = document.getElementById("label-say");
  if (!line) return;
  line.textContent = text;
  line.classList.toggle("is-bad", bad);
};
