// localStorage that may be missing or full. `null` and `false` say that it did not work.
export const read = (key) => {
  try { return localStorage.getItem(key); } catch { return null; }
};

export const write = (key, value) => {
  try {
    localStorage.setItem(key, value);
    return true;
  } catch { return false; }
};

export const drop = (key) => {
  try { localStorage.removeItem(key); } catch { /* there is nothing to remove then */ }
};

export const keysFrom = (prefix) => {
  try { return Object.keys(localStorage).filter((key) => key.startsWith(prefix)).sort(); } catch { return []; }
};
