// Draws /api/openapi.json. Text is only ever put in as text.

const root = document.getElementById("docs");

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
  return node;
}

const code = (text) => el("code", {}, text);
const nameOf = (ref) => ref.split("/").pop();
const anchor = (name) => `schema-${name}`;

/** A schema in a few words, with links to those that have a name. */
function typeOf(schema) {
  if (!schema || Object.keys(schema).length === 0) return ["anything"];
  if (schema.$ref) return [el("a", { href: `#${anchor(nameOf(schema.$ref))}` }, nameOf(schema.$ref))];
  const options = schema.anyOf ?? schema.oneOf;
  if (options) return options.flatMap((one, i) => (i ? [" or ", ...typeOf(one)] : typeOf(one)));
  if (schema.enum) return [schema.enum.map((one) => JSON.stringify(one)).join(" | ")];
  if (schema.type === "array") return ["list of ", ...typeOf(schema.items)];
  if (schema.type === "object" && typeof schema.additionalProperties === "object") return ["name → ", ...typeOf(schema.additionalProperties)];
  return [[schema.type ?? "anything", limits(schema)].filter(Boolean).join(", ")];
}

function limits(schema) {
  const told = [];
  if (schema.minLength || schema.maxLength) told.push(`${schema.minLength ?? 0}–${schema.maxLength ?? "∞"} characters`);
  if (schema.minimum !== undefined) told.push(`≥ ${schema.minimum}`);
  if (schema.maximum !== undefined) told.push(`≤ ${schema.maximum}`);
  return told.join(", ");
}

function table(rows) {
  return el("div", { class: "scroll" }, el("table", {}, rows.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell))))));
}

function operation(path, method, one) {
  const parts = [];
  if (one.description) parts.push(el("p", {}, one.description));
  const may = one.security.length === 0 || one.security.some((way) => Object.keys(way).length === 0);
  parts.push(el("p", { class: "faint" }, may ? "No token needed." : "Needs a token: Authorization: Bearer …"));
  if (one.parameters) {
    parts.push(el("h3", {}, "Parameters"), table(one.parameters.map((p) => [
      code(p.name), `${p.in}${p.required ? "" : ", optional"}`, typeOf(p.schema), p.description ?? (p.schema.default !== undefined ? `default ${p.schema.default}` : ""),
    ])));
  }
  if (one.requestBody) {
    const schema = Object.values(one.requestBody.content)[0].schema;
    parts.push(el("h3", {}, one.requestBody.required ? "Body" : "Body (optional)"), el("p", {}, typeOf(schema)));
  }
  parts.push(el("h3", {}, "Answers"), table(Object.entries(one.responses).map(([status, answer]) => {
    const [type, content] = Object.entries(answer.content ?? {})[0] ?? ["", {}];
    return [code(status), type === "application/json" ? typeOf(content.schema) : type, answer.description];
  })));
  return el("details", { class: "operation", id: one.operationId },
    el("summary", {}, el("span", { class: "method" }, method.toUpperCase()), el("span", { class: "path" }, path), el("span", { class: "faint" }, one.summary)),
    el("div", { class: "body" }, parts));
}

function schema(name, one) {
  const variants = (one.oneOf ?? [one]).filter((variant) => variant.properties);
  return el("details", { class: "operation", id: anchor(name) },
    el("summary", {}, el("span", { class: "path" }, name), el("span", { class: "faint" }, one.description ?? "")),
    el("div", { class: "body" }, variants.length ? variants.flatMap((variant, i) => [i ? el("p", {}, "or") : null, fields(variant)]) : el("p", {}, typeOf(one))));
}

function fields(one) {
  const required = new Set(one.required ?? []);
  return table(Object.entries(one.properties).map(([field, kind]) => [code(field), required.has(field) ? "" : "optional", typeOf(kind)]));
}

function draw(doc) {
  const tags = doc.tags.map((tag) => tag.name);
  const byTag = new Map(tags.map((tag) => [tag, []]));
  for (const [path, methods] of Object.entries(doc.paths)) {
    for (const [method, one] of Object.entries(methods)) byTag.get(one.tags[0])?.push(operation(path, method, one));
  }
  root.replaceChildren(
    el("h1", {}, doc.info.title, " API ", el("span", { class: "faint" }, doc.info.version)),
    el("p", {}, doc.info.description),
    el("p", {}, el("a", { href: "openapi.json" }, "openapi.json")),
    el("nav", {}, tags.map((tag) => el("a", { href: `#tag-${tag}` }, tag)), el("a", { href: "#schemas" }, "Schemas")),
    ...[...byTag].flatMap(([tag, operations]) => [el("h2", { id: `tag-${tag}` }, tag), ...operations]),
    el("h2", { id: "schemas" }, "Schemas"),
    ...Object.entries(doc.components.schemas).map(([name, one]) => schema(name, one)),
  );
  open();
}

/** A link to something folded opens it. */
function open() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target?.tagName === "DETAILS") target.open = true;
  target?.scrollIntoView?.();
}

addEventListener("hashchange", open);
try {
  draw(await (await fetch("openapi.json")).json());
} catch (error) {
  root.replaceChildren(el("p", {}, `The document could not be read: ${error.message}`));
}
