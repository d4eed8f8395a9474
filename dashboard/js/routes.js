// Hash routes, so that every screen is a link that can be shared. Pure.

/** "#/a/runner_1f" → {page: "agent", id: "runner_1f"}; what is not known → {page: "home"}. */
export function parseRoute(hash) {
  const [page, id] = String(hash ?? "").replace(/^#?\/?/, "").split("?")[0].split("/").map(decode);
  switch (page) {
    case "v":
      return id ? { page: "village", id } : { page: "home" };
    case "a":
      return id ? { page: "agent", id } : { page: "home" };
    case "h":
      return id ? { page: "house", id } : { page: "home" };
    case "approvals":
    case "supervision":
      return { page };
    default:
      return { page: "home" };
  }
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const toVillage = (id) => `#/v/${encodeURIComponent(id)}`;
export const toAgent = (id) => `#/a/${encodeURIComponent(id)}`;
export const toHouse = (id) => `#/h/${encodeURIComponent(id)}`;
export const APPROVALS = "#/approvals";
export const SUPERVISION = "#/supervision";
