// HTTP requests, and the line that shows their errors.

/** Fetch JSON; throws an `Error` with a one-line message, and `status` if there was a response. */
export async function fetchJson(path, options = {}) {
  const response = await fetch(path, options);
  const content = await response.json().catch(() => ({}));
  if (response.ok) return content;
  const error = new Error(content.detail ?? `${path} failed with status ${response.status}`);
  error.status = response.status;
  throw error;
}

/** Send JSON and return the JSON response. */
export function sendJson(method, path, content) {
  return fetchJson(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: content === undefined ? undefined : JSON.stringify(content),
  });
}

/** Show an error in one line; an empty line hides it. */
export function showError(line) {
  const element = document.getElementById("error");
  element.querySelector("span").textContent = line;
  element.hidden = !line;
}
