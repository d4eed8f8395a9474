// What can be said to an agent through its structured channel now: the same for the composer and for comments. Pure.

/** {first: send | queue, interrupts, words, off}: `said` is what the agent says of itself (story.agent). */
export function modeOf(agent, said) {
  if (agent.runnerStatus === "offline") return { first: "queue", words: "", off: "Its runner is away: nothing can be said to it now." };
  const status = agent.agentStatus?.status ?? said.status;
  if (agent.waiting.length > 0 || status === "waiting") return { first: "queue", words: "Say what is next. It is queued: a dialog is open." };
  if (status === "busy" || status === "starting") return { first: "queue", interrupts: status === "busy", words: "Say what is next. It is queued until this turn ends." };
  return { first: "send", words: "Say what is next" };
}
