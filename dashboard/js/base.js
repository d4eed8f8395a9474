// Where the service is in this browser: a proxy may publish it below a path.

/** The page's folder, with a slash at its end: https://town.example/ or https://example/tw/. */
export const BASE = new URL(".", location.href.split(/[?#]/)[0]);

/** The path of something of the service: "/api/me" → "/tw/api/me". */
export const below = (path) => `${BASE.pathname}${path.replace(/^\//, "")}`;
