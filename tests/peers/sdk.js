// The official JavaScript SDK as one of our users' browsers would run it, told what to do by JSON lines: one command a line on
// stdin, one answer a line on stdout, and between the answers what the SDK calls back with. See tests/support/sdk.py.
"use strict";

const readline = require("node:readline");
const { WebSocket } = require("ws");
const { Channel, Client, Query, Realtime } = require("appwrite");

// What the SDK takes from a browser.
globalThis.window = globalThis;
globalThis.WebSocket = WebSocket;
globalThis.localStorage = { getItem: () => null, setItem: () => {} };
console.log = console.error; // stdout is for the answers

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
// A channel is a string, or calls on Channel, each with its arguments.
const spell = (channel) => (typeof channel === "string" ? channel : channel.reduce((at, [call, ...args]) => at[call](...args), Channel));

let realtime;
const subscriptions = {};

const commands = {
  spell: ({ channels }) => channels.map((channel) => String(spell(channel))),
  query: ({ queries }) => queries.map(([helper, ...args]) => String(Query[helper](...args))),
  use: ({ endpoint, project, jwt, session, heartbeat }) => {
    const client = new Client().setEndpoint(endpoint).setProject(project);
    if (jwt) client.setJWT(jwt);
    if (session) client.setSession(session);
    realtime = new Realtime(client);
    if (heartbeat) realtime.HEARTBEAT_INTERVAL = heartbeat;
    realtime.onOpen(() => say({ kind: "open" }));
    realtime.onClose(() => say({ kind: "close" }));
    realtime.onError((error, code) => say({ kind: "error", code, message: error.message }));
  },
  subscribe: async ({ name, channels, queries }) => {
    const hear = (event) => say({ kind: "event", to: name, event });
    subscriptions[name] = await realtime.subscribe(channels.map(spell), hear, queries);
  },
  update: ({ name, channels, queries }) => subscriptions[name].update({ channels: channels?.map(spell), queries }),
  unsubscribe: ({ name }) => subscriptions[name].unsubscribe(),
  presence: ({ presence }) => realtime.upsertPresence(presence),
  disconnect: () => realtime.disconnect(),
};

const input = readline.createInterface({ input: process.stdin });
input.on("close", () => process.exit(0));
input.on("line", async (line) => {
  const { command, ...options } = JSON.parse(line);
  try {
    say({ kind: "answer", value: (await commands[command](options)) ?? null });
  } catch (error) {
    say({ kind: "failure", message: String(error) });
  }
});
