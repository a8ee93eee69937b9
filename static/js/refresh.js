// Loads the part of the page that has [data-refreshed] again, for the event "snap:refresh" on the
// document. Only a different part replaces the shown one, and a failed request changes nothing: a
// code stays on screen where there is no network.

let loading = false;
// A hint came while the page was loading. What was loaded may be from before it.
let wanted = false;

function partOf(page) {
  return page.querySelector("[data-refreshed]");
}

// The part without what differs each time: the tokens of forms.
function essenceOf(part) {
  const copy = part.cloneNode(true);
  for (const token of copy.querySelectorAll("[name=csrfmiddlewaretoken]")) {
    token.remove();
  }
  return copy.innerHTML;
}

let shown = essenceOf(partOf(document) ?? document.createElement("div"));

function replace(page) {
  const part = partOf(page);
  if (!part) {
    // Another page is there now, for example after signing out.
    location.reload();
    return;
  }
  const essence = essenceOf(part);
  if (essence === shown || essence === essenceOf(partOf(document))) {
    return;
  }
  shown = essence;
  document.title = page.title;
  if (window.htmx) {
    htmx.swap(partOf(document), part.outerHTML, { swapStyle: "outerHTML" });
  } else {
    partOf(document).replaceWith(document.adoptNode(part));
  }
  document.dispatchEvent(new Event("snap:refreshed"));
}

async function refresh() {
  if (document.hidden || !partOf(document)) {
    return;
  }
  if (loading) {
    wanted = true;
    return;
  }
  loading = true;
  wanted = false;
  try {
    const response = await fetch(location.href, { cache: "no-store", headers: { Accept: "text/html" } });
    if (response.redirected) {
      location.reload();
    } else if (response.status !== 429 && response.status < 500) {
      replace(new DOMParser().parseFromString(await response.text(), "text/html"));
    }
  } catch {
    // There is no network. The page asks again later.
  } finally {
    loading = false;
    if (wanted) {
      refresh();
    }
  }
}

document.addEventListener("snap:refresh", refresh);
