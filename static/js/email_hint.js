// A hint while a person types an email address: "Did you mean ana@gmail.com?".
//
// The lists and rules are those of accounts/mail_domains.py and accounts/mailboxes.py; a test
// compares them. steps.js loads this module when an email field gets the focus.

const COMMON_DOMAINS = [
  "gmail.com",
  "hotmail.com",
  "outlook.com",
  "sapo.pt",
  "live.com.pt",
  "outlook.pt",
  "icloud.com",
  "yahoo.com",
  "live.com",
  "msn.com",
  "me.com",
  "iol.pt",
  "netcabo.pt",
  "clix.pt",
  "mail.telepac.pt",
  "telepac.pt",
  "portugalmail.pt",
  "vodafone.pt",
  "nos.pt",
  "meo.pt",
  "googlemail.com",
  "yahoo.com.br",
  "uol.com.br",
  "bol.com.br",
  "terra.com.br",
  "hotmail.co.uk",
  "yahoo.co.uk",
  "hotmail.fr",
  "yahoo.fr",
  "orange.fr",
  "wanadoo.fr",
  "laposte.net",
  "hotmail.es",
  "yahoo.es",
  "gmx.net",
  "gmx.de",
  "web.de",
  "t-online.de",
  "libero.it",
  "hotmail.it",
  "yahoo.it",
  "ziggo.nl",
  "proton.me",
  "protonmail.com",
  "aol.com",
];

const RIGHT_DOMAINS = new Set([
  "alive.com",
  "em.com",
  "email.com",
  "fmail.com",
  "hotmail.be",
  "hotmail.de",
  "hotmail.pt",
  "hotmail.se",
  "life.com",
  "like.com",
  "line.com",
  "love.com",
  "mail.com",
  "man.com",
  "olive.com",
  "outlook.co",
  "outlook.it",
  "qmail.com",
  "rmail.com",
  "sap.pt",
  "sapo.tl",
  "tmail.com",
  "vodafone.it",
  "yahoo.com.ar",
  "yahoo.de",
  "yahoo.ie",
  "yahoo.in",
  "yahoo.se",
  "ymail.com",
]);

const MISTAKEN_DOMAINS = new Map([
  ["gmail.com.br", "gmail.com"],
  ["gmail.com.pt", "gmail.com"],
  ["gmail.fr", "gmail.com"],
  ["gmail.pt", "gmail.com"],
  ["icloud.com.pt", "icloud.com"],
  ["icloud.pt", "icloud.com"],
]);

const KEY_ROWS = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];
const SHORT_NAME = 4;
const SHORTEST_NAME = 3;
const COUNTRY_LENGTH = 2;
// Milliseconds without a key after which the hint is shown.
const PAUSE = 500;

function placeOf(key) {
  const row = KEY_ROWS.findIndex((keys) => key && keys.includes(key));
  return row < 0 ? null : { row, at: KEY_ROWS[row].indexOf(key) };
}

function areNeighbours(one, other) {
  const [first, second] = [placeOf(one), placeOf(other)];
  if (!first || !second) {
    return false;
  }
  if (first.row === second.row) {
    return Math.abs(first.at - second.at) === 1;
  }
  // Each row begins half a key further to the right than the row above it.
  const [lower, upper] = first.row > second.row ? [first, second] : [second, first];
  return lower.row - upper.row === 1 && [0, 1].includes(upper.at - lower.at);
}

function firstDifference(typed, meant) {
  let at = 0;
  while (at < Math.min(typed.length, meant.length) && typed[at] === meant[at]) {
    at += 1;
  }
  return at;
}

function isSlip(typed, meant) {
  const at = firstDifference(typed, meant);
  const [left, right] = [typed.slice(at), meant.slice(at)];
  const isSwapped = right.length > 1 && left.slice(0, 2) === right[1] + right[0];
  if (isSwapped && left.slice(2) === right.slice(2)) {
    return true;
  }
  const dot = meant.indexOf(".");
  const isInName = at <= dot;
  if (left.slice(1) === right || left === right.slice(1)) {
    return !(isInName && dot <= SHORTEST_NAME);
  }
  if (!left || !right || left.slice(1) !== right.slice(1)) {
    return false;
  }
  const isShort = isInName ? dot <= SHORT_NAME : meant.length - dot - 1 === COUNTRY_LENGTH;
  return !isShort || (dot > SHORTEST_NAME && areNeighbours(left[0], right[0]));
}

// Returns the common domain that was probably meant, "" if the domain looks right.
export function likelyDomain(email) {
  const domain = email.slice(email.lastIndexOf("@") + 1).toLowerCase();
  if (RIGHT_DOMAINS.has(domain) || COMMON_DOMAINS.includes(domain)) {
    return "";
  }
  const mistaken = MISTAKEN_DOMAINS.get(domain);
  return mistaken ?? COMMON_DOMAINS.find((common) => isSlip(domain, common)) ?? "";
}

// Addresses that a person has kept. The hint is not shown again for them.
const kept = new Set();

function likelyEmail(typed) {
  const email = typed.trim();
  const at = email.lastIndexOf("@");
  const domain = at > 0 ? likelyDomain(email) : "";
  return domain && !kept.has(email) ? email.slice(0, at + 1) + domain : "";
}

// The place of the hint is below the field. Screen readers read what is put into it.
function hintOf(field) {
  const group = field.closest(".field") ?? field.parentElement;
  let hint = group.querySelector(".email-hint");
  if (!hint) {
    hint = document.createElement("div");
    hint.className = "email-hint";
    hint.setAttribute("role", "status");
    group.append(hint);
  }
  return hint;
}

function show(field) {
  const likely = likelyEmail(field.value);
  const hint = hintOf(field);
  if (hint.dataset.likely === likely) {
    return;
  }
  hint.dataset.likely = likely;
  hint.replaceChildren();
  if (likely) {
    const content = document.getElementById("email-hint").content.cloneNode(true);
    content.querySelector("[data-email]").textContent = likely;
    hint.append(content);
  }
}

// Tells the server which address was kept, so that no page asks about it again.
function keep(field) {
  const email = field.value.trim();
  kept.add(email);
  let input = field.form.querySelector("[name=kept_email]");
  if (!input) {
    input = document.createElement("input");
    input.type = "hidden";
    input.name = "kept_email";
    field.form.append(input);
  }
  input.value = email;
}

function onTap(event) {
  const button = event.target.closest(".email-hint [data-answer]");
  const field = button?.closest("form").querySelector("input[type=email]");
  if (!field) {
    return;
  }
  if (button.dataset.answer === "accept") {
    field.value = button.closest(".email-hint").dataset.likely;
  } else {
    keep(field);
  }
  show(field);
  field.focus();
}

let timer = 0;

function onInput(event) {
  const field = event.target;
  if (field.matches?.("input[type=email]")) {
    clearTimeout(timer);
    timer = setTimeout(() => field.isConnected && show(field), PAUSE);
  }
}

document.addEventListener("input", onInput);
document.addEventListener("click", onTap);
for (const field of document.querySelectorAll("input[type=email]")) {
  show(field);
}
