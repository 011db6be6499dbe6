// Keys for the queue: j and k move between rows, Enter opens, c claims, / searches, ? shows the keys.
// A page takes part by a table with data-keys, rows whose first link is the record, and acts marked data-key="c".
// Keys rest while somebody types or holds a modifier, and can be turned off in the dialog.
"use strict";

const table = document.querySelector("table[data-keys]");
const dialog = document.getElementById("keys");
const toggle = document.getElementById("keys-on");
const STORED = "expunge.keys";

const links = () => [...table.querySelectorAll("tbody tr")].map((row) => row.querySelector("th a, td a")).filter(Boolean);

const move = (step) => {
  const all = links();
  if (!all.length) return;
  const row = document.activeElement.closest("tbody tr");
  const at = all.findIndex((link) => row && row.contains(link));
  const next = at === -1 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1);
  all[next].focus();
};

const act = (key) => {
  const row = document.activeElement.closest("tbody tr");
  const target = (row && row.querySelector(`[data-key="${key}"]`)) || document.querySelector(`main [data-key="${key}"]:not(tr *)`);
  if (target) target.click();
  return Boolean(target);
};

const typing = (element) => element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);

if (table) {
  if (toggle) {
    toggle.checked = localStorage.getItem(STORED) !== "off";
    toggle.addEventListener("change", () => localStorage.setItem(STORED, toggle.checked ? "on" : "off"));
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || typing(event.target) || (dialog && dialog.open)) return;
    if (localStorage.getItem(STORED) === "off" && event.key !== "?") return;
    if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
    else if (event.key === "/") document.querySelector("[data-search]")?.focus();
    else if (event.key === "?" && dialog) dialog.showModal();
    else if (!/^[a-z0-9]$/.test(event.key) || !act(event.key)) return;
    event.preventDefault();
  });
  document.querySelectorAll("[data-show-keys]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => dialog.showModal());
  });
}
