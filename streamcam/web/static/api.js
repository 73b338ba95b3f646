// Requests, and where their problems are shown.

/** The JSON an address answers with; throws an `Error` with one line, and `status` where there was an answer. */
export async function ask(path, options = {}) {
  const answer = await fetch(path, options);
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  const error = new Error(content.detail ?? `${path} answers ${answer.status}`);
  error.status = answer.status;
  throw error;
}

/** Sends JSON, and gives back what is answered. */
export function send(method, path, content) {
  return ask(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: content === undefined ? undefined : JSON.stringify(content),
  });
}

/** Shows one line that says what went wrong; an empty one takes it away. */
export function problem(line) {
  const element = document.getElementById("problem");
  element.querySelector("span").textContent = line;
  element.hidden = !line;
}
