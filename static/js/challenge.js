// Starts the widget of each challenge on the page and submits its solution. Where the widget cannot
// run (no secure context, no modules), the form for waiting stays.

async function start(form) {
  form.dataset.started = "";
  if (!window.isSecureContext) {
    return;
  }
  const { widget, worker, words, challenge } = form.dataset;
  await import(widget);
  await import(words);
  $altcha.algorithms.set("PBKDF2/SHA-256", () => new Worker(worker));
  const box = document.createElement("altcha-widget");
  box.setAttribute("challenge", challenge);
  box.setAttribute("language", document.documentElement.lang);
  box.setAttribute("configuration", JSON.stringify({ humanInteractionSignature: false, hideFooter: true, hideLogo: true }));
  box.addEventListener("verified", () => setTimeout(() => form.requestSubmit()));
  box.setAttribute("auto", "onload");
  form.append(box);
  form.hidden = false;
  form.parentElement.querySelector("[data-slow]").hidden = true;
}

function startAll(root) {
  for (const form of root.querySelectorAll("form[data-challenge]:not([data-started])")) {
    start(form);
  }
}

startAll(document.body);
document.body.addEventListener("htmx:load", (event) => startAll(event.detail.elt.parentElement ?? document.body));
