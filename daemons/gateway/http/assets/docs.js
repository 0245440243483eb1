"use strict";

// Draws openapi.json. Text only ever enters the page as text, never as markup.

function make(tag, text = "", className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

function nameOf(reference) {
  return reference.split("/").pop();
}

function link(reference) {
  const name = nameOf(reference);
  const anchor = make("a", name);
  anchor.href = "#" + name;
  return anchor;
}

function describe(schema) {
  const cell = make("span");
  if (schema.$ref) {
    cell.append(link(schema.$ref));
  } else if (schema.anyOf) {
    schema.anyOf.forEach((choice, index) => cell.append(index ? " | " : "", describe(choice)));
  } else if (schema.enum) {
    cell.append(schema.enum.map((value) => JSON.stringify(value)).join(" | "));
  } else if (schema.type === "array") {
    cell.append("array of ", describe(schema.items || {}));
  } else {
    const bounds = ["minimum", "maximum", "minLength", "maxLength", "pattern"]
      .filter((key) => key in schema)
      .map((key) => `${key} ${schema[key]}`);
    cell.append([schema.type || "any", ...bounds].join(", "));
  }
  return cell;
}

function table(headings, rows) {
  const result = make("table");
  const head = result.createTHead().insertRow();
  headings.forEach((heading) => head.append(make("th", heading)));
  const body = result.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((content) => line.insertCell().append(content));
  }
  return result;
}

function schemaIn(content) {
  const media = Object.values(content || {})[0];
  return media && media.schema ? describe(media.schema) : "";
}

function drawOperation(path, method, operation) {
  const box = make("details");
  const head = make("summary");
  head.append(make("span", method, "method"), make("code", path), make("span", operation.summary, "note"));
  box.append(head);
  if (operation.security) box.append(make("p", "Needs Authorization: Bearer TOKEN."));
  if (operation.parameters) {
    const rows = operation.parameters.map((p) => [p.name, p.in + (p.required ? ", required" : ""), describe(p.schema)]);
    box.append(table(["parameter", "in", "type"], rows));
  }
  if (operation.requestBody) {
    const body = make("p", "Body: ");
    body.append(schemaIn(operation.requestBody.content));
    box.append(body);
  }
  const answers = Object.entries(operation.responses).sort(([a], [b]) => a - b);
  box.append(table(["answer", "", "body"], answers.map(([status, a]) => [status, a.description, schemaIn(a.content)])));
  return box;
}

function drawSchema(name, schema) {
  const box = make("details");
  box.id = name;
  box.append(make("summary", name), make("p", schema.description || ""));
  if (schema.properties) {
    const required = new Set(schema.required || []);
    const rows = Object.entries(schema.properties).map(([field, type]) => [
      make("code", field), required.has(field) ? "required" : "", describe(type),
    ]);
    box.append(table(["field", "", "type"], rows));
  } else {
    box.append(describe(schema));
  }
  return box;
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

async function draw() {
  const api = await (await fetch("openapi.json")).json();
  document.getElementById("title").textContent = `${api.info.title} ${api.info.version}`;
  document.getElementById("summary").textContent = api.info.summary;
  const operations = document.getElementById("operations");
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) operations.append(drawOperation(path, method, operation));
  }
  const schemas = document.getElementById("schemas");
  for (const [name, schema] of Object.entries(api.components.schemas)) schemas.append(drawSchema(name, schema));
  openTarget();
}

window.addEventListener("hashchange", openTarget);
draw().catch((error) => { document.getElementById("summary").textContent = `Cannot read openapi.json: ${error}`; });
