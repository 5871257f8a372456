/** A thin bar that shows a share of a whole. The browsers' own `<meter>` looks different in each, and can't be made thin in all. */

/** @param {number} value @param {number} most */
export function meter(value, most) {
  const trough = document.createElement("span");
  trough.className = "meter";
  trough.setAttribute("role", "meter");
  trough.setAttribute("aria-valuenow", String(value));
  trough.setAttribute("aria-valuemax", String(most));
  const filled = document.createElement("span");
  filled.style.width = `${Math.min(100, (100 * value) / most)}%`;
  trough.append(filled);
  return trough;
}
