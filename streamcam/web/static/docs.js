// The description of the API, from its OpenAPI document.

import { fetchJson, showError } from "./api.js";

function element(name, text = "", ...children) {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...children);
  return made;
}

/** Return a list of names and meanings. */
function list(rows) {
  const made = element("dl");
  for (const [name, meaning] of rows) made.append(element("dt", name), element("dd", meaning));
  return made;
}

/** Describe a JSON type in a few words. */
function typeOf(schema, schemas) {
  if (schema.$ref) return typeOf(schemas[schema.$ref.split("/").at(-1)], schemas);
  if (schema.enum) return schema.enum.join(", ");
  if (schema.const !== undefined) return String(schema.const);
  if (schema.anyOf) return schema.anyOf.map((one) => typeOf(one, schemas)).filter((one) => one !== "null").join(" or ");
  if (schema.type === "array") return `list of ${schema.items ? typeOf(schema.items, schemas) : "values"}`;
  const range = schema.minimum === undefined ? "" : ` ${schema.minimum} to ${schema.maximum}`;
  return `${schema.type ?? "value"}${range}`;
}

function command(method, path, body) {
  const address = new URL(`.${path}`, document.baseURI).href.replaceAll("%7B", "{").replaceAll("%7D", "}");
  const words = ["curl"];
  if (method !== "get") words.push("-X", method.toUpperCase());
  if (body) words.push("--json", `'{…}'`);
  return [...words, `"${address}"`].join(" ");
}

function operation(method, path, { description, parameters = [], requestBody, responses }, schemas) {
  const made = element("article");
  made.className = "operation";
  made.append(element("h3", "", element("b", method.toUpperCase()), ` ${path}`));
  for (const paragraph of (description ?? "").split("\n\n")) made.append(element("p", paragraph.replaceAll("``", "")));
  const rows = parameters.map(({ name, description: meaning, schema }) => [
    name, [typeOf(schema, schemas), meaning].filter(Boolean).join(": "),
  ]);
  const body = requestBody?.content["application/json"]?.schema;
  const properties = body && schemas[body.$ref.split("/").at(-1)].properties;
  for (const [name, schema] of Object.entries(properties ?? {})) rows.push([name, typeOf(schema, schemas)]);
  if (rows.length) made.append(list(rows));
  const errors = Object.entries(responses).filter(([status]) => status >= 400);
  if (errors.length) made.append(list(errors.map(([status, { description: meaning }]) => [status, meaning])));
  made.append(element("pre", command(method, path, body)));
  return made;
}

try {
  const { paths, components } = await fetchJson("api/openapi.json");
  const groups = new Map();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, described] of Object.entries(methods)) {
      const [tag] = described.tags;
      groups.set(tag, [...(groups.get(tag) ?? []), operation(method, path, described, components.schemas)]);
    }
  }
  const main = document.getElementById("operations");
  main.append(element("p", "With a token, send it as: Authorization: Bearer TOKEN. Errors are {\"detail\": \"one line\"}."));
  for (const [tag, operations] of groups) main.append(element("h2", tag), ...operations);
} catch (error) {
  showError(error.message);
}
