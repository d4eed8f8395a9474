// Keys of what runners name: their ids are unique in their session only.

export const approvalKey = (one) => `${one.sessionId ?? ""}/${one.approvalId}`;
export const alertKey = (one) => `${one.sessionId ?? ""}/${one.alertId ?? one.id}`;
