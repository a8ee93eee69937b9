// Loads a page again once it can be shown. Until then it stays, also where there is no network.
"use strict";

const { seconds } = document.currentScript.dataset;

setInterval(async () => {
  if (document.hidden) {
    return;
  }
  try {
    const response = await fetch(location.href, { cache: "no-store" });
    if (response.status !== 503) {
      location.reload();
    }
  } catch {
    // There is no network. The next try comes by itself.
  }
}, 1000 * Number(seconds));
