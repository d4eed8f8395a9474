// REST of those who run it: runners, people, villages, rules, webhooks, the audit log. Lists come whole, but for those that grow for ever.

import { del, get, keep, list, patch, post, put } from "./api.js";

const id = encodeURIComponent;
const ofVillage = (villageId, more = "") => `/villages/${id(villageId)}${more}`;
const ofRunner = (runnerId, more = "") => `/runners/${id(runnerId)}${more}`;
const ofWebhook = (villageId, webhookId, more = "") => `${ofVillage(villageId)}/webhooks/${id(webhookId)}${more}`;

export const villages = () => list("/villages");
export const makeVillage = (villageId, name, open) => post("/villages", { villageId, name, public: open });
export const changeVillage = (villageId, change) => patch(ofVillage(villageId), change);
export const deleteVillage = (villageId) => del(ofVillage(villageId));
/** name: null takes away the one it was given. */
export const renameHouse = (villageId, repoId, name) => patch(ofVillage(villageId, `/houses/${id(repoId)}`), { name });
export const houses = (villageId) => list(ofVillage(villageId, "/houses"));

export const runners = () => list("/runners");
export const sessionsOf = (runnerId) => list("/runner/sessions", { runnerId, live: true });
export const enrol = (name, villageId) => post("/runners/enrolments", { ...(name ? { name } : {}), ...(villageId ? { villageId } : {}) });
/** state: active, draining or maintenance. */
export const setRunnerState = (runnerId, state) => put(ofRunner(runnerId, "/state"), { state });
export const rotateRunner = (runnerId) => post(ofRunner(runnerId, "/token"));
export const revokeRunner = (runnerId) => del(ofRunner(runnerId, "/token"));
export const removeRunner = (runnerId) => del(ofRunner(runnerId));
export const setRunnerVillages = (runnerId, villages) => put(ofRunner(runnerId, "/villages"), { villages });
export const endSession = (sessionId, reason) => post(`/runner/sessions/${id(sessionId)}/end`, { reason });

export const people = () => list("/users");
export const invite = (person) => post("/users", person);
export const setDisabled = (userId, disabled) => post(`/users/${id(userId)}/${disabled ? "disable" : "enable"}`);
export const setAdministrator = (userId, admin) => put(`/users/${id(userId)}/administrator`, { admin });
export const members = (villageId) => list(ofVillage(villageId, "/members"));
export const setRole = (villageId, userId, role) => put(ofVillage(villageId, `/members/${id(userId)}`), { role });
export const removeMember = (villageId, userId) => del(ofVillage(villageId, `/members/${id(userId)}`));

export const myConnections = () => list("/me/connections");
export const allConnections = () => list("/connections");
export const closeConnection = (connectionId) => del(`/me/connections/${id(connectionId)}`);
/** Every sign-in of one's own ends; the answer is a new one. */
export const signOutEverywhere = async () => keep(await post("/auth/logout-everywhere"));
export const signPersonOut = (userId) => post(`/users/${id(userId)}/sign-out`);
/** How and from where one signed in; of another person for administrators. */
export const signIns = (userId) => list(userId ? `/users/${id(userId)}/sign-ins` : "/me/sign-ins");
export const endSignIn = (signInId, userId) => del(`${userId ? `/users/${id(userId)}` : "/me"}/sign-ins/${id(signInId)}`);
export const limits = async () => (await get("/limits")).items ?? [];

export const tokens = () => list("/tokens");
export const makeToken = (token) => post("/tokens", token);
export const revokeToken = (tokenId) => del(`/tokens/${id(tokenId)}`);

/** One page: {items, next, total, moreThanTotal}. No village: the whole service. */
export const audit = (villageId, query) => get(villageId ? ofVillage(villageId, "/audit") : "/audit", { limit: 50, ...query });

export const rules = (villageId) => get(ofVillage(villageId, "/policy"));
export const saveRules = (villageId, body) => put(ofVillage(villageId, "/policy"), body);
export const tryRules = (villageId, body) => post(ofVillage(villageId, "/policy/try"), body);

export const webhooks = async (villageId) => (await get(ofVillage(villageId, "/webhooks"))).items ?? [];
export const makeWebhook = (villageId, body) => post(ofVillage(villageId, "/webhooks"), body);
export const changeWebhook = (villageId, webhookId, change) => patch(ofWebhook(villageId, webhookId), change);
export const deleteWebhook = (villageId, webhookId) => del(ofWebhook(villageId, webhookId));
export const tryWebhook = (villageId, webhookId) => post(ofWebhook(villageId, webhookId, "/test"));
export const rotateWebhook = (villageId, webhookId) => post(ofWebhook(villageId, webhookId, "/secret"));
export const deliveries = (villageId, webhookId, query) => get(ofWebhook(villageId, webhookId, "/deliveries"), { limit: 20, ...query });
export const resend = (villageId, webhookId, deliveryId) => post(ofWebhook(villageId, webhookId, `/deliveries/${id(deliveryId)}/resend`));
