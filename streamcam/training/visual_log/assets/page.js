"use strict";
const rows = [...document.querySelectorAll(".row")];
const position = document.querySelector("nav output");
let current = 0;
function show(number) {
  if (!rows.length) return;
  current = (number + rows.length) % rows.length;
  rows.forEach((row, index) => { row.hidden = index !== current; });
  position.textContent = `${current + 1} of ${rows.length}`;
}
document.querySelectorAll("button[data-step]").forEach((button) => {
  button.addEventListener("click", () => show(current + Number(button.dataset.step)));
});
document.querySelectorAll("button[data-row]").forEach((button) => {
  button.addEventListener("click", () => {
    show(Number(button.dataset.row));
    document.querySelector("#samples").scrollIntoView();
  });
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const steps = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10 };
  if (event.key in steps) show(current + steps[event.key]);
  else if (event.key === "Home") show(0);
  else if (event.key === "End") show(rows.length - 1);
  else return;
  event.preventDefault();
});
show(0);
