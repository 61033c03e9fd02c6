// The server's clock, as far as this page can know it.
//
// An answer carries the time of its click, and the server lets the later of two clicks win. The
// browser's own clock may be minutes off, so clicks are counted by the server's: each response says
// what time it was, and the largest lag seen is the best estimate, because the way back only makes
// it look smaller. It never shrinks, so two clicks of one page keep their order, and a click always
// lies after everything that the page had been told of when it was made.
let lag = -Infinity;
let last = 0;

export const heard = (serverMs) => {
  if (Number.isFinite(serverMs)) lag = Math.max(lag, serverMs - Date.now());
};

export const serverNow = () => Date.now() + (Number.isFinite(lag) ? lag : 0);

// The time of a click: later than the one before it, though both fell into one millisecond.
export const clickTime = () => {
  last = Math.max(Math.round(serverNow()), last + 1);
  return last;
};
