// A program with the published types and the official Socket.IO client: what it may not say is an error.
import { io, type Socket } from "socket.io-client";
import type { ApprovalMessage, ClientToServerEvents, RunnerToServiceFrame, ServerToClientEvents, ServiceToRunnerFrame } from "./types";

const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io("http://127.0.0.1:8484", { auth: { token: "t" } });
socket.emit("join_village", { villageId: "demo", output: "none" }, (answer) => {
  if (!answer.ok) console.log(answer.error.code === "E_RATE_LIMIT" ? answer.error.retryAfter : answer.error.message);
});
socket.on("approval_requested", (asked: ApprovalMessage) => console.log(asked.summary, asked.risk));
socket.on("house.activity", (house) => console.log(house.indicators.lights.active));
socket.on("server_ping", (acknowledge) => acknowledge());

export function answer(frame: ServiceToRunnerFrame): RunnerToServiceFrame | undefined {
  switch (frame.type) {
    case "command":
      return { type: "result", commandId: frame.commandId, ok: false, error: { code: "NOT_POSSIBLE", message: frame.command } };
    case "ack":
      console.log(frame.seq);
      return undefined;
    default:
      return undefined;
  }
}

// @ts-expect-error a village is named by its id
socket.emit("join_village", { village: "demo" });
// @ts-expect-error there is no such event
socket.on("nothing", () => {});
// @ts-expect-error a result names its command
export const wrong: RunnerToServiceFrame = { type: "result", ok: true };
